"""The business metrics of the auth service."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from libs.contracts.auth import UserPasswordChanged, UserPasswordReset
from libs.service_kit.events.outbox import Counts

LOGINS = Counter("auth_login", "Total number of login attempts", ["status"])
LOGIN_DURATION = Histogram("auth_login_duration", "Login duration in seconds", buckets=(0.1, 0.5, 1, 2, 5))
SESSIONS_REVOKED = Counter("auth_sessions_revoked", "Sessions that were ended for their user, by whatever cause")
PASSWORD_CHANGES = Counter(
    "auth_password_changes", "Passwords that were replaced: by their owner, or by a reset's one-time token", ["how"]
)
PASSWORD_RESETS = Counter("auth_password_resets", "Passwords that an administrator has ended, for a one-time token")

HASH_DURATION = Histogram(
    "password_hash_seconds", "Duration of one password hash on its thread, in seconds", ["operation"]
)
HASH_WAIT = Histogram("password_hash_wait_seconds", "How long a password hash waited for a thread, in seconds")
HASHES_WAITING = Gauge("password_hashes_waiting", "Password hashes that are waiting for a thread")
HASHES_REFUSED = Counter("password_hashes_refused", "Password hashes refused with 429, since too many were waiting")
GUESSES_REFUSED = Counter(
    "auth_guesses_refused", "Logins and the like refused with 429 after wrong guesses, by what was counted", ["limit"]
)
SIGNING_KEY_SINCE = Gauge(
    "auth_signing_key_timestamp_seconds",
    "When the key that signs tokens began to, in seconds since 1970; 0: not used yet",
)
for _limit in ("account", "address"):
    GUESSES_REFUSED.labels(_limit)
for _operation in ("hash", "verify"):
    HASH_DURATION.labels(_operation)
for _how in ("owner", "reset"):  # bootstrap replaces some too, in a process of its own
    PASSWORD_CHANGES.labels(_how)
COUNTS: Counts = {
    UserPasswordChanged: lambda event: PASSWORD_CHANGES.labels(event.by).inc(),
    UserPasswordReset: lambda _: PASSWORD_RESETS.inc(),
}

# Both series exist from the start: the rate of a series that does not exist is nothing, and not zero.
SUCCESS, FAILURE = LOGINS.labels("success"), LOGINS.labels("failure")


@contextmanager
def measured_login() -> Generator[None]:
    """Count and time one login: a success, unless it raises."""
    started = time.perf_counter()
    outcome = FAILURE
    try:
        yield
        outcome = SUCCESS
    finally:
        outcome.inc()
        LOGIN_DURATION.observe(time.perf_counter() - started)
