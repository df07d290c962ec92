"""Access to what Prometheus has measured, and to the containers that an expression gets its numbers from."""

import math
import time
from functools import cache
from typing import Any

import httpx
import pytest
import yaml

from tests.configs.dashboards import DEV, RULES
from tests.configs.exporters import EXPORTERS, targets
from tests.configs.promql import exported_by_services, selectors
from tests.fixtures.waiting import eventually
from tests.stack.backends import missing

# Two scrapes for a rate, one evaluation of the rules, one of the rules that build on those, and a margin: 15 s each.
SETTLED_SECONDS = 75.0

JOBS = yaml.safe_load((DEV / "prometheus/prometheus.yml").read_text())["scrape_configs"]
TARGETS = {job["job_name"]: targets(job)[0] for job in JOBS}
FOUND_BY_NAME = {job["job_name"] for job in JOBS if "dns_sd_configs" in job}
# What nobody expects to run unless it was asked for.
PROFILES = {"loki", "otel-collector"}
SERVICES = {job for job in TARGETS if job.endswith("-service")}
OURS = cache(exported_by_services)


def container(job: str) -> str:
    """The container that a job scrapes."""
    return TARGETS[job].partition(":")[0]


def skip_without(absent: set[str], left_out: set[str]) -> None:
    """Skip the test if these containers do not run. With STRICT=1 it fails, unless PARTS leaves all of them out."""
    names = ", ".join(sorted(absent))
    if absent and left_out >= absent:
        pytest.skip(f"{names} runs with a profile only, which PARTS does not name")
    if absent:
        missing(f"{names} does not run")


def sources(expr: str) -> set[str]:
    """The containers whose metrics an expression uses, by name, by a job or dependency that it asks about, or through recording rules."""
    found: set[str] = set()
    for selector in selectors(expr):
        recorded = [rule["expr"] for rule in RULES if rule.get("record") == selector.name]
        found |= {each for inner in recorded for each in sources(inner)}
        found |= {container(job) for job, metrics in EXPORTERS.items() if selector.name in metrics}
        for each in selector.matchers.matchers:
            found |= {container(each.value)} if each.name == "job" and each.value in TARGETS else set()
            found |= {"rabbitmq"} if (each.name, each.value) == ("dependency", "broker") else set()
        if selector.name in OURS():
            found |= {"probe"} if selector.name.startswith("probe_") else SERVICES
    return found


class Measured:
    """A Prometheus that has seen traffic.

    `running`: the containers that run, or None if that is not known; `left_out`: those of a profile that PARTS does not name.
    """

    def __init__(self, prometheus: httpx.Client, running: set[str] | None, left_out: set[str]) -> None:
        self._prometheus = prometheus
        self._running = running
        self._left_out = left_out
        self._settled = 0.0

    def wait_for_scrape(self, moment: float) -> None:
        """Wait until every service has been scraped after this moment, in seconds since 1970.

        The addresses of the last start may stand beside today's for five minutes: a Prometheus that is stopped does not
        mark its series as ended.
        """
        scraped = 'min(max by (job) (timestamp(up{job=~".+-service"})))'
        eventually(lambda: max(self.values(scraped), default=0) > moment, 60, "Prometheus has not scraped the services")

    def settle(self, moment: float) -> None:
        """Set the moment, in seconds since 1970, from which on everything has to be there."""
        self._settled = moment

    def must_run(self, *containers: str) -> None:
        """Skip the test, with their names, if one of these containers does not run."""
        if self._running is not None:
            skip_without(set(containers) - self._running, self._left_out)

    def get(self, path: str, **parameters: Any) -> Any:
        """The `data` of an answer of the API; an AssertionError with Prometheus's message if it is an error."""
        answer = self._prometheus.post(path, data=parameters) if parameters else self._prometheus.get(path)
        body = answer.json()
        assert body["status"] == "success", body.get("error")
        return body["data"]

    def values(self, expr: str) -> list[float]:
        """The value of each series of an expression now, without those that are not a number (0/0)."""
        data = self.get("/api/v1/query", query=expr)
        assert data["resultType"] == "vector", expr
        numbers = (float(each["value"][1]) for each in data["result"])
        return [number for number in numbers if not math.isnan(number)]

    def eventually(self, expr: str) -> list[float]:
        """Return `values` as soon as there are any; the test fails if there are none at the settled moment."""
        left = max(self._settled - time.time(), 0)
        return eventually(lambda: self.values(expr), left, f"no data for {expr}")
