"""What the tests of all services share."""

from uuid import UUID

import asyncpg
import httpx
import pytest

from libs.service_kit.transactions import Sessions
from tests.fixtures.app import Patient
from tests.services.commits import World, actor_of


@pytest.fixture
def in_process(in_process: httpx.ASGITransport) -> Patient:
    """As that of all tests, for a client who waits until a busy service has time; what it sheds, the kit's tests ask."""
    return Patient(in_process)


@pytest.fixture
def world(
    sessions: Sessions,
    tenant_id: UUID,
    user_id: UUID,
    superuser: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> World:
    """This test's tenant, with an actor who may do everything."""
    caplog.set_level("INFO")
    return World(sessions, actor_of(tenant_id, user_id), superuser, caplog)
