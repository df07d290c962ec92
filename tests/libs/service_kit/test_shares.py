"""A tenant that floods a queue waits in its own line; all others are served, and nobody waits in vain."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from libs.service_kit.shares import Overloaded, Shares

A, B, C = uuid4(), uuid4(), uuid4()


def shed() -> float:
    return REGISTRY.get_sample_value("requests_shed_total", {"queue": "test"}) or 0


@pytest.fixture
async def begin() -> AsyncIterator[Any]:
    """Begin something and let it run until it waits."""
    tasks: list[asyncio.Task[Any]] = []

    async def start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(work))
        await asyncio.sleep(0)
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def taken(shares: Shares, tenant: Any, most: int = 100) -> int:
    """How many places the tenant gets without waiting."""
    return next(n for n in range(most) if not shares.take(tenant))


def test_a_tenant_holds_at_most_half_of_the_places():
    shares = Shares("test", 10, 1)
    assert [taken(shares, tenant) for tenant in (A, B, C)] == [5, 5, 0]


@pytest.mark.parametrize("places", [1, 2, 3])
def test_there_is_a_place_for_one_even_where_half_is_none(places):
    assert taken(Shares("test", places, 1), A) == 1


async def test_a_place_that_is_given_back_goes_to_each_tenant_in_turn_and_within_it_to_the_first(begin):
    shares, served = Shares("test", 1, 5), []

    async def one(name: str, tenant: Any) -> None:
        async with shares.place(tenant):
            served.append(name)

    assert shares.take(C)
    tasks = [await begin(one(name, tenant)) for name, tenant in (("a1", A), ("a2", A), ("a3", A), ("b1", B))]
    shares.give_back(C)
    await asyncio.gather(*tasks)
    assert served == ["a1", "b1", "a2", "a3"]


async def test_a_line_beyond_its_half_does_not_hold_up_another_tenant(begin):
    shares = Shares("test", 4, 5)
    assert taken(shares, A) == 2
    waiting = await begin(shares.wait(A))
    assert shares.take(B)
    shares.give_back(B)
    await asyncio.sleep(0)
    assert not waiting.done()
    shares.give_back(A)
    await waiting


async def test_who_would_not_be_served_in_time_is_refused_at_once(begin):
    shares, before = Shares("test", 4, 5), shed()
    for _ in range(100):
        assert shares.take(A)
        shares.give_back(A, 3)
    assert taken(shares, A) == 2
    served, waiting, late = [await begin(shares.wait(A)) for _ in range(5)][-3:]
    assert not served.done() and not waiting.done()
    refusal = late.exception()
    assert isinstance(refusal, Overloaded)
    assert (refusal.status, refusal.headers["Retry-After"], shed()) == (503, "1", before + 1)
    assert shares.take(B)


async def test_who_comes_to_a_line_that_stands_still_is_refused_at_once(begin, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("libs.service_kit.shares.time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    shares = Shares("test", 2, 5)
    assert shares.take(A)
    first = await begin(shares.wait(A))
    now += 6
    last = await begin(shares.wait(A))
    assert isinstance(last.exception(), Overloaded)
    shares.give_back(A)
    await first
    assert shares.take(B)


async def test_who_has_waited_too_long_is_refused():
    shares, before = Shares("test", 1, 0.01), shed()
    assert shares.take(A)
    with pytest.raises(Overloaded):
        await shares.wait(B)
    assert shed() == before + 1


@pytest.mark.parametrize("at_the_same_time", [False, True])
async def test_who_leaves_takes_no_place_along(begin, at_the_same_time):
    shares = Shares("test", 1, 5)
    assert shares.take(A)
    leaving, staying = [await begin(shares.wait(A)) for _ in range(2)]
    if at_the_same_time:
        shares.give_back(A)
    leaving.cancel()
    if not at_the_same_time:
        shares.give_back(A)
    await asyncio.wait_for(staying, 1)
    assert leaving.cancelled()
    shares.give_back(A)
    assert shares.take(B)


async def test_nothing_is_kept_of_a_tenant_that_is_gone(begin):
    shares = Shares("test", 2, 0.01)
    assert shares.take(A)
    with pytest.raises(Overloaded):
        await shares.wait(A)
    shares.give_back(A)
    assert shares._lines == {}
