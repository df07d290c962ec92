"""The kit's own tests: a tiny service, the probe, in a database of its own on the server of all tests."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from stack import databases, postgres

from libs.service_kit import migrations
from libs.service_kit.events.outbox import Outbox
from libs.service_kit.settings import DatabaseSettings, ServiceUrls
from libs.service_kit.transactions import Sessions, create_sessions
from tests.fixtures.app import serving
from tests.fixtures.database import PASSWORD
from tests.libs.service_kit.probe.main import Settings, create_app

PROBE = Path(__file__).parent / "probe"


def owner_url(server: postgres.Server, database: str = "probe") -> str:
    """The probe's database as the role that migrates and owns it."""
    return postgres.url(server, database=database, user="probe_owner", driver="postgresql+asyncpg")


@pytest.fixture(scope="session")
def services_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the services, with the probe among them."""
    folder = tmp_path_factory.mktemp("services")
    for service in (*(path for path in migrations.SERVICES.iterdir() if path.is_dir()), PROBE):
        (folder / service.name).symlink_to(service)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "SERVICES", folder)
        yield folder


@pytest.fixture(scope="session")
def postgres_server(postgres_server: postgres.Server, services_folder: Path) -> postgres.Server:
    """The server of all tests, with the probe's database."""
    asyncio.run(databases.create(postgres.url(postgres_server), ["probe"], password=PASSWORD))
    asyncio.run(migrations.upgrade_all(["probe"], owner_url(postgres_server)))
    return postgres_server


@pytest.fixture(scope="session")
def service_name() -> str:
    """The probe stands in a service's place."""
    return "probe"


@pytest.fixture(scope="session")
def make_settings(
    database_url: Callable[[str], str], jwks_url: str, telemetry_environment: None
) -> Callable[..., Settings]:
    """The probe's settings, with what is given in place of the usual: `make_settings(database=…)`."""

    def make(**given: object) -> Settings:
        usual = {
            "database": DatabaseSettings(url=SecretStr(database_url("probe"))),
            "services": ServiceUrls.model_validate({"auth": jwks_url}),
        }
        return Settings.model_validate(usual | given)

    return make


@pytest.fixture(scope="module")
def service_settings(make_settings: Callable[..., Settings]) -> Settings:
    """The settings of the probe that `client` talks to."""
    return make_settings()


@pytest.fixture(scope="module")
async def app(service_settings: Settings) -> FastAPI:
    """The probe that `client` talks to."""
    return create_app(service_settings)


@pytest.fixture
def destination() -> str:
    """Where this test's events go, and no other's."""
    return f"to-{uuid4().hex[:12]}"


@pytest.fixture
def outbox(destination: str) -> Outbox:
    """An outbox whose events all go to `destination`, with one relay that can be woken."""
    return Outbox("budget-service", lambda _: [destination], {destination: asyncio.Event()})


@pytest.fixture
def writing(app_state: dict[str, Any], outbox: Outbox) -> Sessions:
    """Sessions that publish to `outbox`."""
    return create_sessions(app_state["engine"], outbox)


@pytest.fixture(scope="session")
def run_probe(make_settings: Callable[..., Settings]) -> Callable[..., AbstractAsyncContextManager[str]]:
    """A probe under uvicorn on a free port: `async with run_probe(handlers, database=…) as url`."""
    return lambda handlers=None, **given: serving(create_app(make_settings(**given), handlers))
