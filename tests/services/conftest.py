"""What the tests of all services share."""

from uuid import UUID

import asyncpg
import pytest

from libs.service_kit.transactions import Sessions
from tests.services.commits import World, actor_of


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
