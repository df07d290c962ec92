"""However many ask, one is made for all of them, after they asked; a failure is shared, too, and not kept."""

import asyncio

import pytest

from libs.observability.sharing import Shared
from tests.fixtures.waiting import eventually_async


class Counted:
    """Makes its number, when it may."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()

    async def __call__(self, key: str) -> str:
        self.begun += 1
        number = self.begun
        await self.may_end.wait()
        if key == "bad":
            raise ValueError(number)
        return f"{key} {number}"


async def test_those_who_ask_at_a_time_share_one_and_those_who_ask_later_the_next():
    made = Counted()
    shared = Shared(made)
    early = [asyncio.create_task(shared("a")) for _ in range(5)]

    async def is_begun() -> bool:
        return bool(made.begun)

    await eventually_async(is_begun)
    late = [asyncio.create_task(shared(key)) for key in ("a", "b") * 5]
    await asyncio.sleep(0)
    late[0].cancel()  # nobody else's loss
    made.may_end.set()
    assert await asyncio.gather(*early) == ["a 1"] * 5
    assert await asyncio.gather(*late[1:]) == ["b 3", *(["a 2", "b 3"] * 4)]
    assert made.begun == 3


async def test_a_failure_is_shared_and_the_next_one_is_made_anew():
    made = Counted()
    made.may_end.set()
    shared = Shared(made)
    failed = await asyncio.gather(*(shared("bad") for _ in range(5)), return_exceptions=True)
    assert [str(each) for each in failed] == ["1"] * 5
    with pytest.raises(ValueError, match="2"):
        await shared("bad")
    assert await shared("good") == "good 3"
