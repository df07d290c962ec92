"""What is watched during a run: the services' processes, their log files, and the alerts that fire."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from stack import environment
from stack.docker import engine
from stack.services import SERVICES
from stack.settings import Settings

from tests.stack.backends import PROMETHEUS

PAUSE_SECONDS = 2.0
ANSWER_SECONDS = 3.0
Alert = tuple[str, str]
"""Its name, and what it is about."""


class Watch:
    """Looks at the services and at Prometheus every two seconds. Times are seconds since 1970."""

    def __init__(self, settings: Settings) -> None:
        self._urls = {each.name: f"{environment.url(each, settings)}/metrics" for each in SERVICES}
        self._alerts = f"{PROMETHEUS.url(settings)}/api/v1/alerts"
        self._over = threading.Event()
        self.started: dict[str, float] = {}
        """When the process of each service has started."""
        self.most_memory: dict[str, float] = {}
        """The most resident memory of each service, in bytes."""
        self.firing: set[Alert] = set()
        self.fired: dict[Alert, list[float]] = {}
        """When each alert began to fire."""

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        """Look until the end."""
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _work(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            self.look()
            self._ask_prometheus()

    def look(self) -> None:
        """Read what each service that answers says of its process."""
        for name, url in self._urls.items():
            try:
                page = httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False).raise_for_status().text
                values = {
                    family.name: family.samples[0].value
                    for family in text_string_to_metric_families(page)
                    if family.samples
                }
                started, memory = values["process_start_time_seconds"], values["process_resident_memory_bytes"]
            except (httpx.HTTPError, ValueError, LookupError):  # a page of a part that is broken just now
                continue
            self.started[name] = started
            self.most_memory[name] = max(self.most_memory.get(name, 0), memory)

    def _ask_prometheus(self) -> None:
        try:
            answer = httpx.get(self._alerts, timeout=ANSWER_SECONDS, trust_env=False).raise_for_status()
            alerts: list[dict[str, Any]] = answer.json()["data"]["alerts"]
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return
        firing = {
            (each["labels"]["alertname"], each["labels"].get("service", ""))
            for each in alerts
            if each["state"] == "firing"
        }
        for each in firing - self.firing:
            self.fired.setdefault(each, []).append(time.time())
        self.firing = firing


def wait(seconds: float, seen: Callable[[], bool], pause: float = 0.1) -> float | None:
    """Seconds until something is seen; None if it is not in time."""
    started = time.monotonic()
    while not seen():
        if time.monotonic() - started > seconds:
            return None
        time.sleep(pause)
    return time.monotonic() - started


def log_bytes(settings: Settings, mode: str) -> int:
    """How large the services' log files are together."""
    if mode == "docker":
        return int(engine.answer("exec", "-T", SERVICES[0].name, "du", "-sb", "/var/log/app").split()[0])
    return sum(file.stat().st_size for file in (settings.state / "logs").glob("*/*"))
