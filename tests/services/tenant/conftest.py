"""What the tests of the tenant service share: the platform's people, and tenants in provisioning."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.contracts import PLATFORM_TENANT_ID
from libs.service_kit.settings import ServiceSettings

_codes = itertools.count()
_run = uuid4().hex[:8]


@pytest.fixture(scope="session")
def service_name() -> str:
    """The service under test."""
    return "tenant"


@pytest.fixture(scope="module")
def service_settings(settings_of: Callable[..., ServiceSettings], service_name: str) -> ServiceSettings:
    """A day of patience, so that the running sweep leaves alone what the tests have not made older than that."""
    return settings_of(service_name, provisioning_timeout_seconds=86400)


@pytest.fixture
def new_code() -> Callable[[], str]:
    """A code that no tenant has: all tests share the platform, and with it one list of codes."""
    return lambda: f"t-{_run}-{next(_codes)}"


@pytest.fixture
def platform(make_client: Callable[..., httpx.AsyncClient]) -> httpx.AsyncClient:
    """A client of one of the platform's people."""
    return make_client("tenants:read", "tenants:write", tenant_id=PLATFORM_TENANT_ID)


@pytest.fixture
def make_tenant(platform: httpx.AsyncClient, new_code: Callable[[], str]) -> Callable[..., Awaitable[dict[str, Any]]]:
    """A tenant in provisioning, as the API shows it."""

    async def make(**given: str) -> dict[str, Any]:
        response = await platform.post("/api/v1/tenants", json={"code": new_code(), "name": "Nordlicht GmbH", **given})
        assert response.status_code == 201, response.text
        return response.json()

    return make


@pytest.fixture
def read_tenant(platform: httpx.AsyncClient) -> Callable[[UUID | str], Awaitable[dict[str, Any]]]:
    """A tenant as the API shows it now."""

    async def read(tenant_id: UUID | str) -> dict[str, Any]:
        response = await platform.get(f"/api/v1/tenants/{tenant_id}")
        assert response.status_code == 200, response.text
        return response.json()

    return read
