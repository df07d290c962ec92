"""An approval takes two people: not a maker and an account of theirs, nor two whose passwords one maker knows."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.contracts.budget import ExpenditureApproved
from libs.service_kit.auth import MOST_MAKERS

EVERYTHING = ("budget:approve", "budget:request", "budget:read", "personnel:read")
Hire = Callable[..., Awaitable[SimpleNamespace]]
NOT_INDEPENDENT = (403, "/problems/not-independent")


def outcome(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("type", "")


@pytest.fixture
async def maker(hire: Hire) -> SimpleNamespace:
    """An employee who administers."""
    return await hire(*EVERYTHING)


@pytest.fixture
def link(make_token: Callable[..., str], personnel: httpx.AsyncClient) -> Callable[..., Awaitable[None]]:
    """Let a user link an employee to the user that it is."""

    async def by(user_id: str, person: SimpleNamespace) -> None:
        path = f"/api/v1/employees/{person.employee_id}"
        headers = {"if-match": "*", "authorization": f"Bearer {make_token(user_id=UUID(user_id))}"}
        for each in (None, person.user_id):
            answer = await personnel.patch(path, json={"user_id": each}, headers=headers)
            assert answer.status_code == 200, answer.text
        assert answer.json()["linked_by"] == user_id

    return by


async def test_who_created_the_others_account_is_no_second_person(hire, maker, make_request, approve, published):
    made = await hire(*EVERYTHING, makers=(maker.user_id,))
    assert outcome(await approve(made, await make_request(person=maker))) == NOT_INDEPENDENT
    assert outcome(await approve(maker, await make_request(person=made))) == NOT_INDEPENDENT
    assert await published(ExpenditureApproved) == []


async def test_who_linked_the_others_account_is_no_second_person(hire, maker, link, make_request, approve):
    linked = await hire(*EVERYTHING)
    await link(maker.user_id, linked)
    assert outcome(await approve(linked, await make_request(person=maker))) == NOT_INDEPENDENT
    assert outcome(await approve(maker, await make_request(person=linked))) == NOT_INDEPENDENT


async def test_what_held_at_the_request_counts(hire, maker, link, make_request, approve):
    """The link is made anew by somebody else before the approval."""
    linked = await hire(*EVERYTHING)
    await link(maker.user_id, linked)
    requested = await make_request(person=linked)
    await link(str(uuid4()), linked)
    assert outcome(await approve(maker, requested)) == NOT_INDEPENDENT


@pytest.mark.parametrize("own", [(False, False), (True, False), (False, True)])
async def test_two_accounts_of_one_maker_are_no_two_people(hire, maker, make_request, approve, own, published):
    first, second = [await hire(*EVERYTHING, makers=(maker.user_id,), own=each) for each in own]
    assert outcome(await approve(second, await make_request(person=first))) == NOT_INDEPENDENT
    assert await published(ExpenditureApproved) == []


async def test_nor_are_they_by_way_of_an_account_between(hire, maker, make_request, approve):
    """The maker makes an administrator, who makes the others."""
    between = await hire(*EVERYTHING, makers=(maker.user_id,))
    last = await hire(*EVERYTHING, makers=(between.user_id, maker.user_id), own=True)
    cousin = await hire(*EVERYTHING, makers=(str(uuid4()), maker.user_id))
    assert outcome(await approve(last, await make_request(person=maker))) == NOT_INDEPENDENT
    assert outcome(await approve(maker, await make_request(person=last))) == NOT_INDEPENDENT
    assert outcome(await approve(cousin, await make_request(person=last))) == NOT_INDEPENDENT


@pytest.mark.parametrize(("length", "answer"), [(MOST_MAKERS - 1, 200), (MOST_MAKERS, 403)])
async def test_whose_makers_are_not_all_known_is_independent_of_nobody(
    hire, member, manager, make_request, approve, length, answer
):
    far = await hire(*EVERYTHING, makers=tuple(str(uuid4()) for _ in range(length)), own=True)
    assert (await approve(far, await make_request(person=member))).status_code == answer
    assert (await approve(manager, await make_request(person=far))).status_code == answer


async def test_who_has_chosen_the_own_password_or_was_set_up_by_nobody_else_may(
    hire, maker, link, make_request, approve
):
    """The usual case, and an administrator who has linked the own account."""
    first, second = [await hire(*EVERYTHING, makers=(maker.user_id,), own=True) for _ in range(2)]
    assert (await approve(second, await make_request(person=first))).status_code == 200
    await link(first.user_id, first)
    assert (await approve(first, await make_request(person=second))).status_code == 200


async def test_two_people_of_two_makers_may(hire, make_request, approve):
    first, second = [await hire(*EVERYTHING, makers=(str(uuid4()),)) for _ in range(2)]
    assert (await approve(second, await make_request(person=first))).status_code == 200


async def test_a_refusal_of_this_kind_commits_nothing(client, hire, maker, allocation, make_request, approve):
    made = await hire(*EVERYTHING, makers=(maker.user_id,))
    requested: dict[str, Any] = await make_request(person=maker)
    await approve(made, requested)
    assert (await client.get(f"/api/v1/expenditures/{requested['id']}")).json() == requested
    assert (await client.get(f"/api/v1/allocations/{allocation['id']}")).json() == allocation
