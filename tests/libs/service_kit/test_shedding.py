"""One request begins in a turn of the loop; while it cannot keep up, new ones are refused and counted; health checks never."""

import asyncio
import time

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from libs.service_kit.shedding import FEWEST, LoadShedding, Turns
from tests.fixtures.waiting import eventually_async, until_somebody_waits

NOTES = "/api/v1/notes"


async def hog() -> None:
    """Keep the loop from everything else for most of the time."""
    while True:
        time.sleep(0.25)
        await asyncio.sleep(0)


def shed() -> float:
    return REGISTRY.get_sample_value("requests_shed_total", {"queue": "event loop"}) or 0


async def is_refused(anonymous: httpx.AsyncClient) -> bool:
    """Whether a request is refused before anything else is asked of it, such as a token."""
    answer = await anonymous.get(NOTES)
    if answer.status_code == 401:
        return False
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
    assert answer.headers["retry-after"] == "1"
    return True


@pytest.mark.parametrize(("requests", "expected"), [(FEWEST, True), (FEWEST - 1, False)])
async def test_a_service_with_more_to_do_than_it_can_refuses_what_is_new(
    client, anonymous, superuser, requests, expected
):
    before = shed()
    async with superuser.transaction():
        await superuser.execute("lock table notes")
        waiting = [asyncio.create_task(client.get(NOTES)) for _ in range(requests)]
        await until_somebody_waits(superuser)
        busy = asyncio.create_task(hog())
        for _ in range(6):
            await asyncio.sleep(0.05)
        is_shed = await is_refused(anonymous)
        for path in ("/health/live", "/metrics"):
            assert (await anonymous.get(path)).status_code == 200
        busy.cancel()
        assert is_shed is expected

        async def is_taken_again() -> bool:
            return not await is_refused(anonymous)

        await eventually_async(is_taken_again, 10, "it refuses requests although it has time")
    assert (shed() > before) is expected
    await asyncio.gather(*waiting)


async def test_requests_that_have_come_and_not_begun_count_too(anonymous):
    came = [asyncio.create_task(anonymous.get("/nothing")) for _ in range(4 * FEWEST)]
    busy = asyncio.create_task(hog())
    for _ in range(6):
        await asyncio.sleep(0.05)
    assert await is_refused(anonymous)
    busy.cancel()
    assert {answer.status_code for answer in await asyncio.gather(*came)} == {404}


async def test_requests_of_one_turn_do_not_hold_up_one_of_many_and_health_checks_wait_for_nobody():
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(20 if scope["path"] == "/long" else 0):
            await asyncio.sleep(0)
        ended.append(scope["path"])

    shedding = LoadShedding(app)
    paths = ["/first", "/left", "/long", *(["/short"] * 100), "/health/live"]
    tasks = [asyncio.create_task(shedding({"type": "http", "path": path}, None, None)) for path in paths]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ended[:2] == ["/first", "/health/live"]
    assert 15 < ended.index("/long") < 30
    assert (ended.count("/short"), "/left" in ended) == (100, False)


async def test_turns_are_in_the_order_in_which_requests_came_and_the_first_waits_for_none():
    turns, begun = Turns(), list[int]()

    async def begin(number: int) -> None:
        await turns.wait()
        begun.append(number)

    for _ in range(2):
        await asyncio.gather(*(begin(number) for number in range(5)))
    assert begun == [*range(5)] * 2
