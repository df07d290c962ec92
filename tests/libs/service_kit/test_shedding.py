"""While the loop cannot keep up, new requests are refused at once and counted; health checks and metrics never are."""

import asyncio
import time

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.service_kit.shedding import FEWEST
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
