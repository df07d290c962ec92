"""The probe: a synthetic user goes through all five services once a minute, and says by metrics whether that works.

python -m libs.journey.probe      (the services' URLs and the administrator's login as for the demo; PROBE_SECONDS)

So every service has requests by a user at any time, and its service levels a value. `make up` runs it beside the services.
"""

import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

from opentelemetry.trace import StatusCode
from prometheus_client import Counter, Gauge
from pydantic import Field, ValidationError

from libs.journey import PROBES_USER_AGENT
from libs.journey.client import Api, UnexpectedAnswer, Unreachable, urls
from libs.journey.steps import StepFailed
from libs.journey.synthetic import SyntheticUser
from libs.observability import TelemetrySettings, get_logger, start
from libs.observability.settings import in_words
from libs.observability.traces.clients import quietly
from libs.observability.traces.scope import get_tracer
from libs.services import SERVICES

log = get_logger("libs.journey.probe")  # as a program, the module has another name
tracer = get_tracer("libs.journey.probe")

TIMEOUT_SECONDS = 10.0
READY_WITHIN_SECONDS = 60.0
"""For this long after the start, a service that does not answer is no failure."""
LONGEST_PAUSE_SECONDS = 300.0
"""Between two rounds while the login is refused: nothing changes by itself, and each attempt costs auth a hash."""
MOST_DOUBLINGS = 5
"""Doubling the shortest pause this often reaches the longest."""

AUTH = "auth"
LOG_IN, RENEW = "log in", "renew the session"
# What the user does in a round once they are logged in, by the service that is asked.
STEPS: Mapping[str, tuple[str, Callable[[SyntheticUser], object]]] = {
    "tenant": ("see the tenant", SyntheticUser.see_tenant),
    "personnel": ("see the own record", SyntheticUser.see_own_record),
    "budget": ("request an expenditure", SyntheticUser.request_expenditure),
    "system": ("find the login in the audit trail", SyntheticUser.find_login),
}
NAMES = {service.name: service.full_name for service in SERVICES}
Results = dict[str, Exception | None]
"""What went wrong, or None, by the short name of each service that was tried."""
Kind = tuple[str, type[Exception], int | None]
"""What distinguishes failures: the service, the error, and the status of the answer, if it is one about an answer."""

SUCCESS = Gauge("probe_success", "1 if the synthetic user could use the service in its last round, else 0", ["service"])
STEPS_TOTAL = Counter("probe_steps_total", "What the synthetic user did", ["service", "step", "outcome"])
DURATION = Gauge("probe_duration_seconds", "How long the last round took")
LAST_SUCCESS = Gauge("probe_last_success_timestamp_seconds", "When the last round ended in which all succeeded")


def show(results: Results) -> None:
    """Show the results of a round; a service that was not tried has no number."""
    for service, name in NAMES.items():
        SUCCESS.labels(name).set(float(results[service] is None) if service in results else math.nan)


show({})
for _service, _step in [
    *((each, LOG_IN) for each in NAMES),
    (AUTH, RENEW),
    *((each, step) for each, (step, _) in STEPS.items()),
]:
    for _outcome in ("success", "failure", "skipped"):
        STEPS_TOTAL.labels(NAMES[_service], _step, _outcome)


class Settings(TelemetrySettings):
    """What the environment says about the probe."""

    probe_seconds: float = Field(
        default=60.0, ge=10, le=LONGEST_PAUSE_SECONDS, description="from one round to the next"
    )


class Probe:
    """The rounds of a synthetic user."""

    def __init__(self, user: SyntheticUser) -> None:
        self._user = user
        self._is_logged_in = False
        self._refusals = 0
        self._told: set[Kind] | None = None

    def play(self) -> dict[str, Exception]:
        """One round. Returns what failed, by service."""
        began = time.perf_counter()
        with tracer.start_as_current_span("round of the synthetic user") as span:
            results = self._go_through()
            failed = {service: error for service, error in results.items() if error}
            if failed:
                span.set_status(StatusCode.ERROR, ", ".join(failed))
            self._tell(failed)
        show(results)
        DURATION.set(time.perf_counter() - began)
        if not failed:
            LAST_SUCCESS.set_to_current_time()
        return failed

    def pause(self, seconds: float) -> float:
        """How long to wait for the next round: longer and longer while the login is refused."""
        return max(seconds, min(seconds * 2**self._refusals, LONGEST_PAUSE_SECONDS))

    def _go_through(self) -> Results:
        results, is_new = self._be_logged_in()
        is_refused = is_new and any(is_lasting(error) for error in results.values())
        for service, (step, take) in STEPS.items():
            if self._is_logged_in:
                results |= _do(service, step, partial(take, self._user))
            else:
                STEPS_TOTAL.labels(NAMES[service], step, "skipped").inc()
        if any(is_unauthorized(error) for error in results.values()):
            self._is_logged_in = False  # the keys of the tokens have changed: the next round begins with a login
            is_refused = is_new  # tokens of this round are worth no more than none
        self._refusals = min(self._refusals + 1, MOST_DOUBLINGS) if is_refused else 0
        return results

    def _be_logged_in(self) -> tuple[Results, bool]:
        """Renew the session, or log in where there is none, or an old or refused one; returns also whether it logged in."""
        if self._is_logged_in and not self._user.is_due_to_log_in():
            results = _do(AUTH, RENEW, self._user.renew_session)
            if not is_unauthorized(results.get(AUTH)):
                return results, False
            self._is_logged_in = False
        results = _do(AUTH, LOG_IN, self._user.log_in)
        (error,) = results.values()
        # A login that passing trouble prevents leaves the old session, which may still be good for the others.
        self._is_logged_in = error is None or (self._is_logged_in and not is_lasting(error))
        return {AUTH: None} | results, True  # if another service has failed, auth was asked before it

    def _tell(self, failed: dict[str, Exception]) -> None:
        """One line when something starts or stops failing; the metrics say that it goes on."""
        kinds = {(service, type(error), _status(error)) for service, error in failed.items()}
        if self._told == kinds:
            return
        self._told = kinds
        if failed:
            why = "; ".join(f"{service}: {type(error).__name__}: {error}" for service, error in failed.items())
            log.warning("the synthetic user cannot use every service", reason=why)
        else:
            log.info("the synthetic user can use every service")


def is_unauthorized(error: Exception | None) -> bool:
    """Whether a service does not know the token, or auth the session or the password."""
    return _status(error) == 401


def is_lasting(error: Exception | None) -> bool:
    """Whether somebody has to do something about the error, as about a wrong password: no service is away or has failed."""
    passing = isinstance(error, Unreachable | StepFailed) or (isinstance(error, UnexpectedAnswer) and error.is_passing)
    return error is not None and not passing


def _status(error: Exception | None) -> int | None:
    return error.answer.status if isinstance(error, UnexpectedAnswer) else None


def _do(service: str, step: str, take: Callable[[], object]) -> Results:
    error, outcome = None, "success"
    try:
        take()
    except Exception as raised:  # whatever it is, it is what the user gets, and the next round comes
        error, outcome = raised, "failure"
        service = getattr(raised, "service", service)  # to log in for the first time, more than one is asked
    STEPS_TOTAL.labels(NAMES[service], step, outcome).inc()
    return {service: error}


def make_api(urls: Mapping[str, str]) -> Api:
    """What the synthetic user calls the services with: it sends each request once."""
    return Api(urls, attempts=1, timeout=TIMEOUT_SECONDS, user_agent=PROBES_USER_AGENT)


def wait_until_ready(api: Api, seconds: float = READY_WITHIN_SECONDS) -> None:
    """Give services that are starting some time."""
    deadline = time.monotonic() + seconds
    while not _is_ready(api) and time.monotonic() < deadline:
        time.sleep(1.0)


def _is_ready(api: Api) -> bool:
    try:
        with quietly():
            api.check_ready()
    except Unreachable:
        return False
    return True


def end(*_: object) -> NoReturn:
    """End at once, wherever the process waits; telemetry is flushed at exit."""
    sys.exit(0)


def main() -> None:
    """Play until somebody ends the process."""
    try:
        settings = Settings.for_service("probe", "all-erp")
    except ValidationError as error:
        sys.exit(f"probe cannot start: {in_words(error)}")
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    start(settings)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would write a line for each call
    api = make_api(urls())
    wait_until_ready(api)
    probe = Probe(SyntheticUser(api, os.environ))
    while True:
        began = time.monotonic()
        probe.play()
        time.sleep(max(0.0, began + probe.pause(settings.probe_seconds) - time.monotonic()))


if __name__ == "__main__":
    main()
