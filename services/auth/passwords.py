"""Passwords: which are too weak, and argon2id on threads, as many at a time as there are cores."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from opentelemetry.trace import get_tracer

from libs.service_kit.errors import Invalid, TooManyRequests

SHORTEST, LONGEST = 12, 128
SHORTEST_REMAINDER = 8
"""What must be left of a password without the words that belong to its user."""
FEWEST_CHARACTERS = 5
"""How many different characters a password must have."""

# OWASP's second recommendation: 17 ms of one core and 19 MiB. The library's default uses four threads for each.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# A hash of no password with the same parameters: to check against it takes as long as against a real one.
NOBODYS_HASH = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"

CORES = os.cpu_count() or 1
WAITING_LIMIT = 50 * CORES
"""About a second of work; a later request is better refused at once."""

_limiter = CapacityLimiter(CORES)
_tracer = get_tracer(__name__)
Result = TypeVar("Result")


class WeakPassword(Invalid):  # noqa: D101
    detail = "The password is too easy to guess: it is common, or little more than the e-mail or the tenant's code."


class PasswordChecksBusy(TooManyRequests):  # noqa: D101
    detail = "Too many passwords are being checked now."


def refuse_weak(password: str, words: Iterable[str]) -> None:
    """Raise `WeakPassword` for a common password, or one made of these words (the tenant's code, the e-mail).

    The list of common ones is short; a complete one is the choice of whoever deploys this.
    """
    rest = password.casefold()
    weak = rest in common_passwords() or len(set(rest)) < FEWEST_CHARACTERS
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word.casefold(), "") if len(word) > 2 else rest
    if weak or len(rest) < SHORTEST_REMAINDER:
        raise WeakPassword()


def common_passwords() -> frozenset[str]:
    """Well-known passwords that are long enough to pass for good ones; read at each call, which is seldom."""
    return frozenset(Path(__file__).with_name("common_passwords.txt").read_text().split())


async def hash_password(password: str) -> str:
    """The password's argon2id hash. Call it outside of any transaction: it waits for a thread and for 17 ms."""
    return await _on_thread(lambda: HASHER.hash(password))


async def verify(password: str, password_hash: str | None) -> bool:
    """Whether the hash is this password's. Without a hash it takes as long, and the answer is no.

    Call it outside of any transaction. Raises `PasswordChecksBusy`.
    """

    def check() -> bool:
        try:
            return HASHER.verify(password_hash or NOBODYS_HASH, password)
        except VerificationError:
            return False

    with _tracer.start_as_current_span("verify password"):
        return await _on_thread(check)


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(password_hash)


async def _on_thread(work: Callable[[], Result]) -> Result:
    if _limiter.statistics().tasks_waiting >= WAITING_LIMIT:
        raise PasswordChecksBusy(headers={"Retry-After": "1"})
    return await to_thread.run_sync(work, limiter=_limiter)
