"""A stopped tenant is refused with a valid token, in every replica and in whatever order the events come."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.contracts import CloudEvent, Event
from libs.contracts.tenant import TenantClosed, TenantResumed, TenantSuspended
from libs.service_kit import standing
from libs.service_kit.events.inbox import consume
from libs.service_kit.transactions import Sessions, transaction
from tests.fixtures.app import replica_of
from tests.fixtures.waiting import eventually_async
from tests.libs.service_kit.probe.main import create_app

NOTES = "/api/v1/notes"
Hear = Callable[..., Awaitable[None]]
SEEN: list[Event] = []


async def see(_: Any, event: TenantClosed) -> None:
    """A handler of the service's own."""
    SEEN.append(event)


@pytest.fixture(scope="module", autouse=True)
def frequent_watch() -> Iterator[None]:
    """The app of this module asks again and again who is stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "PAUSE_SECONDS", 0.1)
        yield


@pytest.fixture
def hear(sessions: Sessions, tenant_id: UUID) -> Hear:
    """Let the service hear that this test's tenant is suspended, resumed or closed."""

    async def deliver(kind: type[Event], number: int = 0) -> None:
        data = {"tenant_id": str(tenant_id), "number": number, "reason": "unpaid"}
        event = CloudEvent(
            id=uuid4(), source="tenant-service", type=kind.type, subject="tenant/1", time=datetime.now(UTC),
            tenantid=tenant_id, data=data,
        )  # fmt: skip
        assert await consume(sessions, standing.kept_by({TenantClosed: see}), [event], "http") == [None]

    return deliver


async def answered(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """The answer to the first request that is answered like this."""

    async def asked() -> httpx.Response | None:
        answer = await client.get(NOTES)
        return answer if answer.status_code == status else None

    return await eventually_async(asked, 10, f"no answer is {status}")


async def stopped(sessions: Sessions, tenant_id: UUID) -> bool:
    async with transaction(sessions, tenant_id) as session:
        return await standing.is_stopped(session, tenant_id)


async def test_a_suspended_tenant_is_refused_until_it_is_resumed_and_no_other_is(client, make_client, hear):
    other = make_client(tenant_id=uuid4())
    await hear(TenantSuspended, 1)
    refused = await answered(client, 403)
    assert refused.json()["type"] == "/problems/tenant-stopped"
    assert (await client.post(NOTES, json={"code": "n", "text": "t"})).status_code == 403
    assert (await other.get(NOTES)).status_code == 200
    await hear(TenantResumed, 2)
    await answered(client, 200)


async def test_a_replica_that_did_not_get_the_event_refuses_too(service_settings, make_token, hear):
    await hear(TenantSuspended, 1)
    async with replica_of(create_app(service_settings)) as transport:
        headers = {"authorization": f"Bearer {make_token()}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://replica", headers=headers) as client:
            await answered(client, 403)


@pytest.mark.parametrize(
    ("events", "ends_stopped"),
    [
        ([(TenantSuspended, 1)], True),
        ([(TenantSuspended, 1), (TenantSuspended, 1), (TenantResumed, 2)], False),
        ([(TenantResumed, 2), (TenantSuspended, 1)], False),
        ([(TenantSuspended, 3), (TenantResumed, 2)], True),
        ([(TenantClosed, 0), (TenantResumed, 2)], True),
    ],
)
async def test_a_late_event_undoes_nothing(sessions, tenant_id, hear, events, ends_stopped):
    for event in events:
        await hear(*event)
    assert await stopped(sessions, tenant_id) is ends_stopped


async def test_a_tenant_of_which_nobody_said_anything_is_not_stopped(sessions, tenant_id):
    assert not await stopped(sessions, tenant_id)


async def test_the_services_own_handler_of_the_same_event_runs_too(hear, tenant_id):
    await hear(TenantClosed)
    assert SEEN[-1] == TenantClosed(tenant_id=tenant_id, reason="unpaid")


async def test_no_tenant_can_write_about_another(sessions, tenant_id, hear):
    await hear(TenantSuspended, 1)
    with pytest.raises(Exception, match="row-level security"):
        async with transaction(sessions, uuid4()) as session:
            await standing.on_resumed(session, TenantResumed(tenant_id=tenant_id, number=9))
    assert await stopped(sessions, tenant_id)
