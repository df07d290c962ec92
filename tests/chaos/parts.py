"""The parts that are broken, how one sees that a part answers, and which faults a run makes."""

import asyncio
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass

import asyncpg
import httpx
from stack import environment
from stack.local import readiness
from stack.services import SERVICES, Service
from stack.settings import Settings

from tests.stack import backends

ANSWER_SECONDS = 3.0
AMQP = b"AMQP\x00\x00\x09\x01"
"""What a client says first."""


@dataclass(frozen=True)
class Part:
    """A part of the stack: its name, as the compose file has it."""

    name: str
    answers: Callable[[Settings], bool]
    is_telemetry: bool = False
    is_service: bool = False
    alert: str = ""
    """The alert that says so."""
    about: str = ""
    """The alert's label `service`, where it is not the part's name."""
    watcher: str = "prometheus"
    """The container without which that alert cannot fire."""
    alert_faults: tuple[str, ...] = ("stop",)
    """The faults that last until it fires."""

    def lasts_until_alert(self, fault: str) -> bool:
        """Whether this fault lasts until the alert fires; nothing watches a part without one."""
        return bool(self.alert) and fault in self.alert_faults


def _database_answers(settings: Settings) -> bool:
    async def ask() -> bool:
        connection = await asyncpg.connect(environment.superuser_url(settings), timeout=ANSWER_SECONDS)
        try:
            return await connection.fetchval("select true", timeout=ANSWER_SECONDS)
        finally:
            connection.terminate()

    try:
        return asyncio.run(ask())
    except (OSError, asyncpg.PostgresError, TimeoutError, asyncpg.InterfaceError):
        return False


def _broker_answers(settings: Settings) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", settings.port("RABBITMQ_PORT")), ANSWER_SECONDS) as connection:
            connection.sendall(AMQP)
            return bool(connection.recv(1))
    except OSError:
        return False


def _is_ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _is_alive(service: Service) -> Callable[[Settings], bool]:
    return lambda settings: _is_ok(f"{environment.url(service, settings)}/health/live")


def _watcher(name: str, back_end: backends.BackEnd, alert: str = "", watcher: str = "prometheus") -> Part:
    def answers(settings: Settings) -> bool:
        return _is_ok(back_end.url(settings) + back_end.health)

    return Part(name, answers, is_telemetry=True, alert=alert, watcher=watcher)


def ready(settings: Settings) -> bool:
    """Whether every service is ready."""
    return not readiness.not_ready(settings, SERVICES)


FAULTS = ("kill", "stop", "pause", "cut-off")
NONE, TAKE_AWAY = "none", "take-away"
LOGS = "log-files"
"""The folders of the services' log files, in whose place there is something else."""
WATCHERS = (
    Part(
        LOGS,
        lambda _: True,
        is_telemetry=True,
        alert="TelemetryLost",
        about="budget-service",
        alert_faults=(TAKE_AWAY,),
    ),
    _watcher("jaeger", backends.JAEGER, "WatcherDown"),
    _watcher("alertmanager", backends.ALERTMANAGER, "WatcherMissing"),
    _watcher("elasticsearch", backends.ELASTICSEARCH, "ElasticsearchDown", "elasticsearch-exporter"),
    _watcher("prometheus", backends.PROMETHEUS),
)
PARTS = (
    *WATCHERS,
    Part(
        "postgres", _database_answers, alert="PostgresDown", watcher="postgres-exporter", alert_faults=("stop", "pause")
    ),
    Part("rabbitmq", _broker_answers, alert="RabbitmqDown"),
    *(Part(each.name, _is_alive(each), is_service=True, alert="ServiceDown") for each in SERVICES),
)
# One fault of each part: every kind of part and every kind of fault is in it, and every part.
SHORT = {
    LOGS: TAKE_AWAY,
    "jaeger": "pause",
    "alertmanager": "stop",
    "elasticsearch": "kill",
    "prometheus": "cut-off",
    "postgres": "kill",
    "rabbitmq": "pause",
    "auth-service": "stop",
    "tenant-service": "cut-off",
    "system-service": "kill",
    "budget-service": "pause",
    "personnel-service": "kill",
}


def plan(
    running: Collection[str], faults: Collection[str], only: Collection[str], *, is_short: bool
) -> list[tuple[Part, str]]:
    """The faults to make, in order: of the parts that run, and that `only` names, if it names any; so of faults.

    A short run takes one of them for each part.
    """
    some_parts = {part.name for part in PARTS} & {*only}
    some_faults = {*only} - some_parts
    found: list[tuple[Part, str]] = []
    for part in PARTS:
        if part.name not in {*running, LOGS} or (some_parts and part.name not in some_parts):
            continue
        possible = [each for each in faults if (each == TAKE_AWAY) == (part.name == LOGS) and each != NONE]
        possible = [each for each in possible if not some_faults or each in some_faults]
        if is_short and possible:  # another one takes its place where there is none like it, as in local mode
            possible = [SHORT[part.name] if SHORT[part.name] in possible else possible[0]]
        found += [(part, fault) for fault in possible]
    return found if running else []
