"""Passwords: which are too weak, and hashing with argon2id, as many at a time as this container has room for."""

from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from libs.observability.traces.scope import get_tracer
from libs.service_kit.capacity import capacity
from libs.service_kit.errors import Invalid, TooManyRequests
from services.auth import metrics

SHORTEST, LONGEST = 12, 128
SHORTEST_REMAINDER = 8
"""The characters that must remain of a password when the words related to its user are removed."""
FEWEST_CHARACTERS = 5
"""How many different characters a password must have."""

# OWASP's second recommendation: 17 ms of one core and 19 MiB. The library's default would use four threads per hash.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# A hash that no password matches, with the same parameters: verifying against it takes as long as against a real one.
NOBODYS_HASH = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"

AT_ONCE = capacity().at_once(HASHER.memory_cost * 1024)
WAITING_LIMIT = 50 * AT_ONCE
"""The checks that may wait: about a second of work. Further ones are refused at once."""

_limiter = CapacityLimiter(AT_ONCE)
metrics.HASHES_WAITING.set_function(lambda: _limiter.statistics().tasks_waiting)
_tracer = get_tracer(__name__)
Result = TypeVar("Result")


class WeakPassword(Invalid):  # noqa: D101
    detail = "The password is too easy to guess: it is common, or little more than the e-mail or the tenant's code."


class PasswordChecksBusy(TooManyRequests):  # noqa: D101
    detail = "The service is checking too many passwords now."


def refuse_weak(password: str, words: Iterable[str]) -> None:
    """Raise `WeakPassword` for a common password, or one made of these words (the tenant's code, the e-mail).

    The list of common passwords is short; a deployment should bring a complete one.
    """
    rest = password.casefold()
    weak = rest in common_passwords() or len(set(rest)) < FEWEST_CHARACTERS
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word.casefold(), "") if len(word) > 2 else rest
    if weak or len(rest) < SHORTEST_REMAINDER:
        raise WeakPassword()


def common_passwords() -> frozenset[str]:
    """Common passwords that are long enough to be accepted otherwise. The file is read at each call, which is rare."""
    return frozenset(Path(__file__).with_name("common_passwords.txt").read_text().split())


async def hash_password(password: str) -> str:
    """The password's argon2id hash. Call it outside any transaction: it waits for a thread and takes 17 ms."""
    return await _on_thread("hash", lambda: HASHER.hash(password))


async def verify(password: str, password_hash: str | None) -> bool:
    """Whether the hash is this password's. Without a hash it takes as long and returns False.

    Call it outside any transaction. Raises `PasswordChecksBusy`.
    """

    def check() -> bool:
        try:
            return HASHER.verify(password_hash or NOBODYS_HASH, password)
        except VerificationError:
            return False

    return await _on_thread("verify", check)


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than `HASHER` has."""
    return HASHER.check_needs_rehash(password_hash)


async def _on_thread(operation: str, work: Callable[[], Result]) -> Result:
    if _limiter.statistics().tasks_waiting >= WAITING_LIMIT:
        metrics.HASHES_REFUSED.inc()
        raise PasswordChecksBusy(headers={"Retry-After": "1"})
    asked = perf_counter()

    def timed() -> Result:
        began = perf_counter()
        metrics.HASH_WAIT.observe(began - asked)
        span.set_attribute("auth.password.wait_ms", round((began - asked) * 1000, 3))
        try:
            return work()
        finally:
            metrics.HASH_DURATION.labels(operation).observe(perf_counter() - began)

    with _tracer.start_as_current_span(f"{operation} password") as span:
        return await to_thread.run_sync(timed, limiter=_limiter)
