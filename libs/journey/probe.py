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

from opentelemetry import trace
from opentelemetry.trace import StatusCode
from prometheus_client import Counter, Gauge
from pydantic import Field, ValidationError

from libs.contracts.services import SERVICES
from libs.journey import PROBES_USER_AGENT, synthetic
from libs.journey.client import Api, UnexpectedAnswer, Unreachable, urls
from libs.journey.synthetic import Session
from libs.observability import TelemetrySettings, get_logger, start
from libs.observability.traces.clients import quietly

log = get_logger("libs.journey.probe")  # as a program, the module has another name
tracer = trace.get_tracer("libs.journey.probe")

TIMEOUT_SECONDS = 10.0
READY_WITHIN_SECONDS = 60.0
"""How long the services may take to start before that they do not answer counts as a failure."""
LONGEST_PAUSE_SECONDS = 300.0
"""Between two rounds while the login is refused: nothing changes by itself, and each attempt costs auth a hash."""

LOG_IN, RENEW = "log in", "renew the session"
AUTH = "auth"
# What the user does in a round once they are logged in, by the service that is asked.
STEPS: Mapping[str, tuple[str, Callable[[Session], object]]] = {
    "tenant": ("see the tenant", Session.see_tenant),
    "personnel": ("see the own record", Session.see_own_record),
    "budget": ("request an expenditure", Session.request_expenditure),
    "system": ("find the login in the audit trail", Session.find_login),
}
NAMES = {service.name: service.full_name for service in SERVICES}

SUCCESS = Gauge("probe_success", "1 if the synthetic user could use the service in its last round, else 0", ["service"])
STEPS_TOTAL = Counter("probe_steps_total", "What the synthetic user did", ["service", "step", "outcome"])
DURATION = Gauge("probe_duration_seconds", "How long the last round took")
LAST_SUCCESS = Gauge("probe_last_success_timestamp_seconds", "When the last round ended in which all succeeded")

for _short, _step in [(AUTH, LOG_IN), (AUTH, RENEW), *((each, step) for each, (step, _) in STEPS.items())]:
    SUCCESS.labels(NAMES[_short]).set(math.nan)  # there is no last round yet
    for _outcome in ("success", "failure", "skipped"):
        STEPS_TOTAL.labels(NAMES[_short], _step, _outcome)


class Settings(TelemetrySettings):
    """What the environment says about the probe."""

    probe_seconds: float = Field(
        default=60.0, ge=10, le=LONGEST_PAUSE_SECONDS, description="from one round to the next"
    )


class Probe:
    """The synthetic user's rounds. `environment` has the login of the platform's administrator."""

    def __init__(self, api: Api, environment: Mapping[str, str]) -> None:
        self._api = api
        self._environment = environment
        self.session: Session | None = None
        """None until the user is logged in."""
        self._refusals = 0
        self._told: set[str] | None = None

    def play(self) -> dict[str, Exception]:
        """One round. Returns what failed, by service."""
        began = time.perf_counter()
        with tracer.start_as_current_span("round of the synthetic user") as span:
            failed = self._go_through()
            if failed:
                span.set_status(StatusCode.ERROR, ", ".join(failed))
            self._tell(failed)
        DURATION.set(time.perf_counter() - began)
        if not failed:
            LAST_SUCCESS.set_to_current_time()
        return failed

    def pause(self, seconds: float) -> float:
        """How long to wait for the next round: longer and longer while the login is refused."""
        return max(seconds, min(seconds * 2**self._refusals, LONGEST_PAUSE_SECONDS))

    def _go_through(self) -> dict[str, Exception]:
        outcomes = {AUTH: self._be_logged_in()}
        session = self.session
        for service, (step, take) in STEPS.items():
            if session:
                outcomes[service] = _do(service, step, partial(take, session))
            else:
                _count(service, step, "skipped", math.nan)
        failed = {service: error for service, error in outcomes.items() if error}
        if any(is_refused(error, 401) for error in failed.values()):
            self.session = None  # the keys of the tokens have changed: the next round begins with a login
        return failed

    def _be_logged_in(self) -> Exception | None:
        """Renew the session, or log in where there is none, or an old or refused one."""
        if self.session and time.monotonic() < self.session.ends_at:
            error = _do(AUTH, RENEW, self.session.renew)
            if not is_refused(error, 401):
                return error
            self.session = None
        error = _do(AUTH, LOG_IN, self._log_in)
        self._refusals = self._refusals + 1 if is_refused(error) else 0
        return error

    def _log_in(self) -> None:
        self.session = synthetic.log_in(self._api, self._environment)

    def _tell(self, failed: dict[str, Exception]) -> None:
        """One line when something begins or ends to fail; the metrics say that it goes on."""
        if self._told == failed.keys():
            return
        self._told = set(failed)
        if failed:
            why = {service: f"{type(error).__name__}: {error}" for service, error in failed.items()}
            log.warning("the synthetic user cannot use every service", failed=why)
        else:
            log.info("the synthetic user can use every service")


def is_refused(error: Exception | None, *statuses: int) -> bool:
    """Whether the error is an answer with one of these statuses; without any, that the caller is at fault."""
    status = error.answer.status if isinstance(error, UnexpectedAnswer) else 0
    return status in statuses if statuses else 400 <= status < 500


def _do(service: str, step: str, take: Callable[[], object]) -> Exception | None:
    try:
        take()
    except Exception as error:  # whatever it is, it is the user's answer, and the next round comes
        _count(service, step, "failure", 0)
        return error
    _count(service, step, "success", 1)
    return None


def _count(service: str, step: str, outcome: str, success: float) -> None:
    STEPS_TOTAL.labels(NAMES[service], step, outcome).inc()
    SUCCESS.labels(NAMES[service]).set(success)


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
        sys.exit("; ".join(f"{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()))
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    start(settings)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would write a line for each call
    api = Api(urls(), attempts=1, timeout=TIMEOUT_SECONDS, user_agent=PROBES_USER_AGENT)
    wait_until_ready(api)
    probe = Probe(api, os.environ)
    while True:
        began = time.monotonic()
        probe.play()
        time.sleep(max(0.0, began + probe.pause(settings.probe_seconds) - time.monotonic()))


if __name__ == "__main__":
    main()
