"""When personnel does not answer: 503, nothing changed, and the circuit breaker opens."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.contracts.budget import ExpenditureApproved, ExpenditureRequested
from libs.service_kit.settings import ServiceSettings
from tests.fixtures.app import running_service

EXPENDITURES = "/api/v1/expenditures"


@asynccontextmanager
async def budget_beside(settings: ServiceSettings, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a budget service of its own, since its breaker is to open."""
    async with (
        running_service(settings) as url,
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}) as client,
    ):
        yield client


def breaker(state: str) -> float | None:
    return REGISTRY.get_sample_value("circuit_breaker_state", {"target": "personnel", "circuit_breaker_state": state})


@pytest.fixture
async def people(
    settings_of: Callable[..., ServiceSettings],
    make_token: Callable[..., str],
    manager: SimpleNamespace,
    member: SimpleNamespace,
) -> AsyncIterator[SimpleNamespace]:
    """The manager and the member as clients of a budget service whose personnel has stopped after it had answered."""
    async with running_service(settings_of("personnel")) as personnel_url:
        pass
    settings = settings_of("budget", services={"personnel": personnel_url})
    async with budget_beside(settings, "") as client:

        def as_user(person: SimpleNamespace) -> SimpleNamespace:
            token = make_token(user_id=person.user_id)
            headers = {"authorization": f"Bearer {token}"}
            same = httpx.AsyncClient(base_url=client.base_url, headers=headers)
            return SimpleNamespace(user_id=person.user_id, client=same)

        yield SimpleNamespace(manager=as_user(manager), member=as_user(member))


async def test_nothing_changes_while_personnel_is_away(
    client, people, allocation, make_request, approve, published, superuser, tenant_id
):
    requested = await make_request()
    answers = [
        await approve(people.manager, requested),
        await people.member.client.post(
            EXPENDITURES, json={"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"}
        ),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get(EXPENDITURES)).json()["items"] == [requested]
    assert (await client.get(f"/api/v1/allocations/{allocation['id']}")).json() == allocation
    assert len(await published(ExpenditureRequested)) == 1
    assert await published(ExpenditureApproved) == []


async def test_what_needs_no_answer_goes_on(people, make_request):
    requested = await make_request()
    path = f"{EXPENDITURES}/{requested['id']}/reject"
    rejected = await people.manager.client.post(path, json={"reason": "No"}, headers={"if-match": '"1"'})
    assert rejected.status_code == 200


async def test_a_retry_is_answered_as_before(people, member, allocation):
    asked = {
        "json": {"allocation_id": allocation["id"], "amount": "1.00", "purpose": "A trip"},
        "headers": {"idempotency-key": str(uuid4())},
    }
    first = await member.client.post(EXPENDITURES, **asked)
    again = await people.member.client.post(EXPENDITURES, **asked)
    assert (again.status_code, again.json()) == (201, first.json())


async def test_the_breaker_opens_and_is_seen(people, make_request, approve):
    requested = await make_request()
    assert breaker("opened") == 0
    for _ in range(3):
        assert (await approve(people.manager, requested)).status_code == 503
    assert (breaker("opened"), breaker("closed")) == (1, 0)
