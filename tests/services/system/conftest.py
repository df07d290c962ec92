"""The system service under test, and events as they come from the other services."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.contracts import EVENTS, CloudEvent, owners
from libs.service_kit.events.inbox import consume
from libs.service_kit.transactions import Sessions
from services.system.main import HANDLERS


@pytest.fixture(scope="session")
def service_name() -> str:
    return "system"


@pytest.fixture
def make_event(tenant_id: UUID) -> Callable[..., CloudEvent]:
    """An event of this test's tenant: `make_event("employee.hired.v1", actorid=who)`."""

    def make(event_type: str = "invoice.paid.v1", **given: Any) -> CloudEvent:
        entity = event_type.split(".")[0]
        owner = owners(event_type)[0] if event_type in EVENTS else "budget"
        return CloudEvent(
            **{
                "id": uuid4(),
                "source": f"{owner}-service",
                "type": event_type,
                "subject": f"{entity}/{uuid4()}",
                "time": datetime.now(UTC),
                "tenantid": tenant_id,
                "data": {"amount": "12.50"},
                **given,
            }
        )

    return make


@pytest.fixture
def record(sessions: Sessions) -> Callable[..., Awaitable[None]]:
    """Let events arrive, all in one batch, and be recorded."""

    async def arrive(*events: CloudEvent) -> None:
        assert await consume(sessions, HANDLERS, events, "http") == [None] * len(events)

    return arrive
