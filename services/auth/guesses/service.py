"""The rules of guesses: each is counted before it is checked, so that no number of them at once gets more tries.

Some are free; then each wrong one makes the next wait, twice as long each time, up to a quarter of an hour, or until so
many are forgotten that it is free again. Whoever waits is refused without a look at the password, be it right or not,
whether or not there is such an account. What is refused counts no further. Wrong guesses are forgotten one by one. All
replicas count in the same rows.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.observability import get_logger
from libs.service_kit.transactions import Sessions, transaction
from services.auth.guesses.errors import TooManyGuesses, WrongGuess
from services.auth.guesses.models import Guess
from services.auth.metrics import GUESSES_REFUSED

log = get_logger(__name__)

LONGEST_WAIT_SECONDS = 900
ROWS = 1000
"""The most rows that one transaction removes."""
MOST_OVER = 10
"""How far above the free ones the count can rise, so that it falls again within a day of the end of an attack."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What is counted together, how many wrong guesses are free, and after how many seconds one of them is forgotten."""

    by: str
    account: str
    address: str
    free: int
    forget_seconds: int


# Never longer than until so many are forgotten that the next one is free.
_WAIT = """make_interval(secs => least(power(2, {0}failures - :free), :longest,
({0}failures - :free) * :forget_seconds))"""
# A free guess does not look at the time, since one that began a little later may have been counted already.
_COUNT = text(f"""insert into guesses as known (account, address, failures, last_at)
values (:account, :address, 1, now()) on conflict (account, address) do update set last_at = now(), failures = least(
greatest(known.failures - extract(epoch from now() - known.last_at)::float8 / :forget_seconds, 0) + 1, :most)
where known.failures <= :free or known.last_at + {_WAIT.format("known.")} <= now() returning true""")  # noqa: S608
_LEFT = text(f"""select ceil(extract(epoch from last_at + {_WAIT.format("")} - now()))::int from guesses
where account = :account and address = :address""")  # noqa: S608
_TAKE_BACK = text("""update guesses set failures = greatest(failures - 1, 0)
where account = :account and address = :address""")
_FORGET = text("delete from guesses where account = :account and address = :address")
_REMOVE_OLD = text("""delete from guesses where ctid in
(select ctid from guesses where last_at < now() - interval '1 day' limit :rows)""")


def at_user(tenant_code: str, email: str) -> Limit:
    """Guesses at a user's password from wherever: a password can be guessed from many addresses."""
    return Limit("account", _hash("user", tenant_code, email), "", free=10, forget_seconds=3600)


def at_service(client_id: str, address: str) -> Limit:
    """Guesses at a service's secret, from one address.

    Its name is known and its secret is too long to be guessed, so a limit for all addresses would protect nothing and
    let any stranger stop the service's events.
    """
    return Limit("account", _hash("service", client_id), address, free=10, forget_seconds=3600)


def _from(address: str) -> Limit:
    """Guesses at whatever account from one address, behind which a whole office may be."""
    return Limit("address", "", address, free=100, forget_seconds=2)


@asynccontextmanager
async def guess(sessions: Sessions, address: str, at: Limit | None = None) -> AsyncGenerator[None]:
    """Count a guess from an address, at an account if it is known; it stays counted if the block raises `WrongGuess`.

    A right one also forgets the wrong ones at the account. Raises `TooManyGuesses` in place of running the block.
    """
    limits = [*([at] if at else []), _from(address)]  # accounts before addresses, so that no two wait for each other
    async with transaction(sessions) as session:
        for limit in limits:
            await _count(session, limit)
    try:
        yield
    except WrongGuess:
        raise
    except Exception:  # a cancelled one, which is no such exception, stays counted
        await _settle(sessions, limits, is_right=False)
        raise
    await _settle(sessions, limits, is_right=True)


async def forget(session: AsyncSession, at: Limit) -> None:
    """Forget the wrong guesses at an account from all addresses: nobody has to wait any longer."""
    await session.execute(delete(Guess).where(Guess.account == at.account))


async def remove_forgotten(sessions: Sessions) -> None:
    """Remove what has been forgotten altogether."""
    while True:
        async with transaction(sessions) as session:
            removed = await session.execute(_REMOVE_OLD, {"rows": ROWS})
        if cast("CursorResult[Any]", removed).rowcount < ROWS:
            return


async def _count(session: AsyncSession, limit: Limit) -> None:
    if await session.scalar(_COUNT, {**_key(limit), "most": limit.free + MOST_OVER}):
        return
    seconds = max(await session.scalar(_LEFT, _key(limit)) or 1, 1)
    GUESSES_REFUSED.labels(limit.by).inc()
    log.info("guess refused", reason=f"too many by {limit.by}", retry_in_seconds=seconds)
    raise TooManyGuesses(headers={"Retry-After": str(seconds)})


async def _settle(sessions: Sessions, limits: list[Limit], *, is_right: bool) -> None:
    async with transaction(sessions) as session:
        for limit in limits:
            statement = _FORGET if is_right and limit.account else _TAKE_BACK
            await session.execute(statement, {"account": limit.account, "address": limit.address})


def _key(limit: Limit) -> dict[str, object]:
    own = {"account": limit.account, "address": limit.address}
    return {**own, "free": limit.free, "forget_seconds": limit.forget_seconds, "longest": LONGEST_WAIT_SECONDS}


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
