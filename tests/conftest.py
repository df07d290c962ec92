"""The fixtures of all tests, imported by name from the modules of `tests/fixtures`."""

import gc
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.fixtures.app import (
    anonymous,
    anyio_backend,
    app,
    app_state,
    client,
    in_process,
    make_client,
    no_shell,
    rare_watch,
    run_service,
    service_settings,
    settings_of,
    telemetry_environment,
)
from tests.fixtures.auth import jwks_url, make_token, powerless, signing_key, tenant_id, user_id
from tests.fixtures.database import database_url, postgres_server, sessions, superuser, tenant_session
from tests.fixtures.events import published
from tests.fixtures.telemetry import configure_lines, lines, span_memory, spans

__all__ = [
    "anonymous",
    "anyio_backend",
    "app",
    "app_state",
    "client",
    "configure_lines",
    "database_url",
    "in_process",
    "jwks_url",
    "lines",
    "make_client",
    "make_token",
    "no_shell",
    "postgres_server",
    "powerless",
    "published",
    "rare_watch",
    "run_service",
    "service_settings",
    "sessions",
    "settings_of",
    "signing_key",
    "span_memory",
    "spans",
    "superuser",
    "telemetry_environment",
    "tenant_id",
    "tenant_session",
    "user_id",
]


class ByFile(LoadFileScheduling):
    """The tests of a file run in one process, and so do all end-to-end tests, which share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "end_to_end" if file.startswith("tests/end_to_end/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """What `-n` uses."""
    return ByFile(config, log)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives to the end: thousands of tests, and all that they import."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
