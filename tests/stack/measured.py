"""What Prometheus has measured, and which containers an expression gets its numbers from."""

import math
import time
from functools import cache
from typing import Any

import httpx
import yaml

from tests.configs.dashboards import DEV, RULES
from tests.configs.exporters import EXPORTERS
from tests.configs.promql import exported_by_services, selectors
from tests.fixtures.waiting import eventually
from tests.stack.backends import missing

# Two scrapes for a rate, an evaluation of the rules and one of the rules that build on them: 15 seconds each.
SETTLED_SECONDS = 75.0

TARGETS = {
    job["job_name"]: job["static_configs"][0]["targets"][0]
    for job in yaml.safe_load((DEV / "prometheus/prometheus.yml").read_text())["scrape_configs"]
}
SERVICES = {job for job in TARGETS if job.endswith("-service")}
OURS = cache(exported_by_services)


def container(job: str) -> str:
    """The container that a job asks."""
    host = TARGETS[job].partition(":")[0]
    return "prometheus" if host == "localhost" else host


def sources(expr: str) -> set[str]:
    """The containers whose metrics an expression asks for, by itself or through recording rules."""
    found: set[str] = set()
    for selector in selectors(expr):
        recorded = [rule["expr"] for rule in RULES if rule.get("record") == selector.name]
        found |= {each for inner in recorded for each in sources(inner)}
        found |= {container(job) for job, metrics in EXPORTERS.items() if selector.name in metrics}
        if selector.name in OURS():
            found |= SERVICES
    return found


class Measured:
    """A Prometheus that has seen traffic. `running`: the containers that run, or None if that is not known."""

    def __init__(self, prometheus: httpx.Client, running: set[str] | None) -> None:
        self._prometheus = prometheus
        self._running = running
        self._settled = 0.0

    def wait_for_scrape(self, moment: float) -> None:
        """Wait until every service has been asked after this moment, in seconds since 1970."""
        asked = 'min(timestamp(up{job=~".+-service"}))'
        eventually(lambda: max(self.values(asked), default=0) > moment, 60, "Prometheus has not asked the services")

    def settle(self, moment: float) -> None:
        """Say from which moment on, in seconds since 1970, everything has to be there."""
        self._settled = moment

    def must_run(self, *containers: str) -> None:
        """Skip, by name, what needs a container that does not run."""
        absent = sorted(set(containers) - self._running) if self._running is not None else []
        if absent:
            missing(f"no container runs of {', '.join(absent)}")

    def get(self, path: str, **parameters: Any) -> Any:
        """The `data` of an answer of the API; an AssertionError with its complaint if it is an error."""
        answer = self._prometheus.post(path, data=parameters) if parameters else self._prometheus.get(path)
        body = answer.json()
        assert body["status"] == "success", body.get("error")
        return body["data"]

    def values(self, expr: str) -> list[float]:
        """What an expression is now, a number for each series, without those that are none (0/0)."""
        data = self.get("/api/v1/query", query=expr)
        assert data["resultType"] == "vector", expr
        numbers = (float(each["value"][1]) for each in data["result"])
        return [number for number in numbers if not math.isnan(number)]

    def eventually(self, expr: str) -> list[float]:
        """As `values`, as soon as there are any; the test fails when there are none once all has been measured."""
        left = max(self._settled - time.time(), 0)
        return eventually(lambda: self.values(expr), left, f"no data for {expr}")
