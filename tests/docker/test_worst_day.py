"""PostgreSQL stops for six seconds on a new stack: the mail's links lead to a failed trace and its log lines in two clicks.

The stack is that of the compose files, under another name and on other ports. Grafana and Kibana are not needed: what
their pages would ask for is taken from the links, and asked.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml
from stack import environment
from stack.docker import engine
from stack.services import SERVICES

from libs.journey import people, steps, story
from libs.journey.client import Actor, Api
from tests.configs.dashboards import DASHBOARDS, DEV, RUNBOOKS, panels
from tests.docker.images import image
from tests.docker.own_stack import Stack
from tests.fixtures.waiting import eventually

pipeline = pytest.importorskip("tests.fixtures.pipeline", exc_type=ImportError)

pytestmark = pytest.mark.timeout(900)

AWAY_SECONDS = 6.0
PAUSE_SECONDS = 0.2
NAMES = [each.name for each in SERVICES]
WATCHERS = ["prometheus", "alertmanager", "mailpit", "jaeger", "postgres-exporter", "elasticsearch"]
PATHS = {
    "auth": "/api/v1/users",
    "tenant": "/api/v1/tenants",
    "system": "/api/v1/audit-entries",
    "budget": "/api/v1/allocations",
    "personnel": "/api/v1/employees",
}


class Failure(NamedTuple):
    """A request that ended in a 5xx, and its trace."""

    service: str
    trace_id: str


@pytest.fixture(scope="module")
def stack(docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A new stack that Prometheus has just begun to scrape."""
    stack = Stack(tmp_path_factory.mktemp("worst"))
    logs = [name for name in ("logstash",) if engine.has_image(image(name))]
    try:
        stack.compose("up", "--detach", "--build", "--wait", *NAMES, *WATCHERS)
        stack.compose("run", "--rm", "--no-deps", "elasticsearch-setup")
        if logs:
            stack.compose("up", "--detach", "--wait", *logs)
        eventually(lambda: set(stack.ask("up == 1")) >= set(NAMES), 60, "Prometheus does not scrape the services")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans")
        engine.remove_images(stack.images.values())


@pytest.fixture(scope="module")
def users(stack: Stack) -> Iterator[Mapping[str, Actor]]:
    """Who may read what of each service."""
    api = Api({each.short: environment.url(each, stack.settings) for each in SERVICES})
    platform = steps.log_in_to_platform(api, stack.settings.values)
    admin = story.play(api, platform, people.company(1, secrets.token_hex(3))).admin
    yield {short: platform if short == "tenant" else admin for short in PATHS}
    api.close()


@pytest.fixture(scope="module")
def failures(stack: Stack, users: Mapping[str, Actor]) -> list[Failure]:
    """What fails while PostgreSQL is stopped, and users read what each service has, four at a time."""
    failed: list[Failure] = []

    def read(short: str) -> bool:
        trace_id = secrets.token_hex(16)
        headers = {
            "authorization": f"Bearer {users[short].token}",
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
        }
        status = client.get(users[short].api.urls[short] + PATHS[short], headers=headers).status_code
        if status >= 500:
            failed.append(Failure(f"{short}-service", trace_id))
        return status == 200

    def all_read() -> bool:
        time.sleep(PAUSE_SECONDS)
        return all(pool.map(read, 4 * [*PATHS]))

    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(4 * len(PATHS)) as pool:
        assert all_read()
        stack.compose("stop", "postgres")
        started = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < started:
            all_read()
        stack.compose("start", "postgres")
        eventually(all_read, 60, "not every service reads again")
    return failed


def failed_of(failures: list[Failure], service: str) -> set[str]:
    return {each.trace_id for each in failures if each.service == service}


every_service = pytest.mark.parametrize("service", NAMES)


def test_every_service_has_failed_and_its_counter_has_moved(stack, failures):
    assert {each.service for each in failures} == set(NAMES)
    moved = 'sum by (job) (increase(http_requests_total{status="5xx"}[5m])) > 0'
    eventually(lambda: set(stack.ask(moved)) >= set(NAMES), 60, lambda: f"only {stack.ask(moved)} have moved")


def test_the_error_budget_burns(stack, failures):
    burning = 'slo:burn_rate:1h{slo="availability"} > 13.44 and slo:burn_rate:5m > 13.44'
    eventually(lambda: set(stack.ask(burning)) >= set(NAMES), 90, lambda: f"only {stack.ask(burning)} burn")


@pytest.fixture(scope="module")
def mails(stack: Stack, failures: list[Failure]) -> Mapping[str, str]:
    """The text of the mail about each service's availability."""

    def arrived() -> dict[str, str] | None:
        subjects = {f"[critical] {name} is using up its availability budget fast": name for name in NAMES}
        found = {
            subjects[each["Subject"]]: stack.get("MAILPIT_PORT", f"/api/v1/message/{each['ID']}")["Text"]
            for each in stack.get("MAILPIT_PORT", "/api/v1/messages")["messages"]
            if each["Subject"] in subjects
        }
        return found if len(found) == len(NAMES) else None

    fires = 'ALERTS{alertname="ErrorBudgetBurnsFast", slo="availability"}'
    return eventually(arrived, 300, lambda: f"not every mail has come; pending or firing: {stack.ask(fires)}")


class Page(NamedTuple):
    """A page of Grafana as a link opens it: its dashboard, the job that is chosen there, and the time range."""

    dashboard: dict[str, Any]
    job: str
    since: datetime
    until: datetime

    def followed(self, url: str) -> str:
        """A link of the page as Grafana fills it in when it is clicked."""
        variables = {each["name"]: each["query"] for each in self.dashboard["templating"]["list"]}
        milliseconds = {"from": int(self.since.timestamp() * 1000), "to": int(self.until.timestamp() * 1000)}
        values = {
            "job": self.job,
            "__field.labels.job": self.job,
            "jaeger": variables.get("jaeger", ""),
            **{f"__{name}": str(value) for name, value in milliseconds.items()},
        }
        return re.sub(r"\$\{([\w.]+)\}", lambda found: values[found[1]], url)


def opened(mail: str, what: str) -> Page:
    """What a link of a mail opens."""
    (url,) = re.findall(rf"{what}: +(\S+)", mail)
    uid, chosen = urlsplit(url).path.removeprefix("/d/"), parse_qs(urlsplit(url).query)
    dashboard = (DASHBOARDS | RUNBOOKS)[uid]
    assert {"job"} <= {each["name"] for each in dashboard["templating"]["list"]}
    assert chosen["to"] == ["now"]
    since = datetime.fromtimestamp(int(chosen["from"][0]) / 1000, UTC)
    (job,) = chosen["var-job"]
    return Page(dashboard, job, since, datetime.now(UTC))


def searched(url: str) -> dict[str, str]:
    """What a link to failed traces asks Jaeger for: its own page, or Grafana's Explore."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    if "panes" not in asked:
        return asked
    pane = json.loads(asked["panes"])["left"]
    (query,) = pane["queries"]
    times = {name: f"{pane['range'][each]}000" for name, each in (("start", "from"), ("end", "to"))}
    tags = dict(each.split("=") for each in query["tags"].split())
    return {"service": query["service"], "tags": json.dumps(tags), "limit": "20", **times}


@every_service
@pytest.mark.parametrize("what", ["What to do", "Dashboard"])
def test_a_link_of_the_mail_leads_to_failed_traces_of_the_service(stack, failures, mails, service, what):
    page = opened(mails[service], what)
    assert page.job == service
    assert page.since + timedelta(hours=1) <= datetime.now(UTC)
    found = [each for each in page.dashboard["links"] if each["title"] == "Failed traces"]
    for panel in panels(page.dashboard):
        links = panel.get("fieldConfig", {"defaults": {}})["defaults"].get("links", [])
        found += [each for each in links if each["title"].startswith("Failed traces")]
    assert found
    for url in {each["url"] for each in found}:
        asked = searched(page.followed(url))
        assert asked["service"] == service
        eventually(
            lambda asked=asked: (
                {each["traceID"] for each in stack.get("JAEGER_UI_PORT", "/api/traces", **asked)["data"]}
                & failed_of(failures, service)
            ),
            failure=f"no failed trace is found by {asked}",
        )


def line_searches() -> dict[str, str]:
    """The links from a trace to its log lines, as Elasticsearch's query about the trace <trace>."""
    sources = {
        each["uid"]: each["jsonData"]
        for each in yaml.safe_load((DEV / "grafana/provisioning/datasources/all.yml").read_text())["datasources"]
    }
    (jaegers,) = json.loads((DEV / "jaeger/ui.json").read_text())["linkPatterns"]
    urls = {
        "Jaeger": jaegers["url"].replace("#{traceID}", "$${__value.raw}"),
        "an exemplar": sources["prometheus"]["exemplarTraceIdDestinations"][1]["url"],
        "a line": sources["elasticsearch"]["dataLinks"][1]["url"],
    }
    shown = {f"panel-{each['id']}": each["targets"][0] for each in panels(DASHBOARDS["log-lines"])}
    found: dict[str, str] = {}
    for name, url in urls.items():
        asked = {key: value for key, (value,) in parse_qs(urlsplit(url).query).items()}
        chosen = asked["var-trace_id"].replace("$${__value.raw}", "<trace>")
        found[name] = shown[asked["viewPanel"]]["query"].replace("${trace_id}", chosen)
    spans = sources["jaeger"]["tracesToLogsV2"]["query"]
    return found | {"a span": spans.replace("$${__trace.traceId}", "<trace>")}


@pytest.fixture(scope="module")
def indexed(stack: Stack, failures: list[Failure]) -> None:
    """Log lines are in Elasticsearch: from Logstash or, where there is no image of it, from its model in the tests."""
    if engine.has_image(image("logstash")):
        return
    files = stack.compose("exec", "-T", "auth-service", "sh", "-c", "cat /var/log/app/*/combined.log")
    actions = []
    for line in files.splitlines():
        for index, identity, document in pipeline.documents(line, "/var/log/app/a-service/combined.log"):
            actions += [json.dumps({"create": {"_index": index, "_id": identity}}), json.dumps(document)]
    answer = httpx.post(
        f"http://127.0.0.1:{stack.settings.port('ELASTICSEARCH_PORT')}/_bulk?refresh=true",
        content="\n".join([*actions, ""]),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=60,
    )
    assert [each for each in answer.json()["items"] if "error" in each["create"]] == []


@every_service
@pytest.mark.parametrize("start", line_searches())
def test_a_link_from_the_failed_trace_finds_its_log_lines(stack, failures, indexed, service, start):
    trace_id = min(failed_of(failures, service))
    query = line_searches()[start].replace("<trace>", trace_id)

    def lines() -> list[dict[str, Any]]:
        hits = stack.get("ELASTICSEARCH_PORT", "/logs-*/_search", q=query, size=100)["hits"]["hits"]
        found = [each["_source"] for each in hits]
        return found if any(each["message"] == "request handled" for each in found) else []

    found = eventually(lines, 60, f"no access line is found by {query}")
    assert {each["trace_id"] for each in found} == {trace_id}
    (access,) = [each for each in found if each["message"] == "request handled"]
    assert (access["service"], access["http"]["status_code"] >= 500) == (service, True)
