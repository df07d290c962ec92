"""The watchers in pairs, `--profile ha`: whichever of them is killed, an alert is one mail, and no log line is lost.

The stack is that of the compose files, under another name and on other ports. Grafana and Logstash, of which there need
not be an image, are not started: log lines are sent by `_bulk`, as Logstash sends them.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml

from tests.docker.own_stack import Stack
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.timeout(900)

PROMETHEUSES = ["prometheus", "prometheus-2"]
ALERTMANAGERS = ["alertmanager", "alertmanager-2", "alertmanager-3"]
NODES = ["elasticsearch", "elasticsearch-2", "elasticsearch-3"]
PORTS = dict.fromkeys(PROMETHEUSES, 9090) | dict.fromkeys(ALERTMANAGERS, 9093) | dict.fromkeys(NODES, 9200)
DAY = "2026.11.28"
# Of alertmanager.yml: a critical alert waits for others of its group.
GROUP_WAIT_SECONDS = 10
# Alertmanager's default of --cluster.peer-timeout.
PEER_SECONDS = 15


class Pair(Stack):
    """The watchers of the profile, and how each of them is asked."""

    docker: Callable[..., str]

    def ha(self, *arguments: str) -> str:
        """Run docker compose with the profile."""
        return self.compose("--profile", "ha", *arguments)

    def url(self, name: str) -> str:
        """Where a container answers, in its own network."""
        network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = self.docker("inspect", "--format", network, f"{self.name}-{name}-1")
        return f"http://{address}:{PORTS[name]}"

    def asked(self, name: str, path: str, **parameters: Any) -> Any:
        """What one container answers."""
        return httpx.get(f"{self.url(name)}{path}", params=parameters or None, timeout=30).raise_for_status().json()

    def measured(self, name: str, expr: str) -> dict[str, float]:
        """What one Prometheus answers, by job."""
        found = self.asked(name, "/api/v1/query", query=expr)["data"]["result"]
        return {each["metric"].get("job", ""): float(each["value"][1]) for each in found}

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """These containers are killed by SIGKILL, and started again afterwards."""
        containers = [f"{self.name}-{name}-1" for name in names]
        for each in containers:
            self.docker("kill", each)
        try:
            yield
        finally:
            for each in containers:
                self.docker("start", each)

    def mails(self, summary: str) -> list[str]:
        """The subjects of the mails about an alert."""
        found = self.get("MAILPIT_PORT", "/api/v1/messages", limit=500)["messages"]
        return [each["Subject"] for each in found if summary in each["Subject"]]


@pytest.fixture(scope="module")
def stack(docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """All of the pairs, as one command starts them."""
    stack = Pair(tmp_path_factory.mktemp("ha"))
    stack.docker = docker
    try:
        stack.ha("up", "--detach", "--wait", *PROMETHEUSES, *ALERTMANAGERS, *NODES, "elasticsearch-exporter", "mailpit")
        stack.ha("run", "--rm", "--no-deps", "elasticsearch-setup")
        yield stack
    finally:
        stack.ha("down", "--volumes", "--remove-orphans")


def test_both_prometheus_see_all_watchers(stack):
    whole = {"prometheus": 2, "alertmanager": 3, "elasticsearch": 3}
    for name in PROMETHEUSES:
        eventually(lambda name=name: stack.measured(name, "job:watchers:sum") == whole, 90, f"{name} does not see all")
        active = stack.asked(name, "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        assert {each["url"] for each in active} == {f"{stack.url(each)}/api/v2/alerts" for each in ALERTMANAGERS}


def test_what_both_prometheus_send_is_one_alert_at_each_alertmanager(stack):
    replicas = {
        yaml.safe_load(stack.asked(name, "/api/v1/status/config")["data"]["yaml"])["global"]["external_labels"][
            "replica"
        ]
        for name in PROMETHEUSES
    }
    assert replicas == {*PROMETHEUSES}

    def watchdogs(name: str) -> list[dict[str, str]]:
        return [each["labels"] for each in stack.asked(name, "/api/v2/alerts", filter='alertname="Watchdog"')]

    for name in ALERTMANAGERS:
        eventually(lambda name=name: watchdogs(name), 60, f"no alert arrives at {name}")
        assert watchdogs(name) == [{"alertname": "Watchdog", "service": "prometheus", "severity": "none"}]


@pytest.mark.parametrize("killed", [[], ["alertmanager"], ["alertmanager", "alertmanager-3"]], ids=len)
def test_an_alert_is_one_mail_whoever_of_the_cluster_is_killed(stack, killed):
    eventually(lambda: all(members(stack, name) == 3 for name in ALERTMANAGERS), 90, "the three do not find each other")
    summary = f"Something is on trial without {len(killed)}"
    alive = [name for name in ALERTMANAGERS if name not in killed]
    labels = {"alertname": "Trial", "severity": "critical", "service": f"trial-{len(killed)}"}
    notes = {"summary": summary, "description": "Sent by a test.", "dashboard": "overview", "runbook_url": "none"}
    with stack.without(*killed):
        for name in alive:
            alerts = [{"labels": labels, "annotations": notes}]
            httpx.post(f"{stack.url(name)}/api/v2/alerts", json=alerts).raise_for_status()
        # Each waits for those before it, and then finds that the mail has been sent.
        time.sleep(GROUP_WAIT_SECONDS + len(ALERTMANAGERS) * PEER_SECONDS)
        assert stack.mails(summary) == [f"[critical] {summary}"]
    eventually(lambda: all(members(stack, name) == 3 for name in ALERTMANAGERS), 90, "the killed are not back")
    time.sleep(PEER_SECONDS)
    assert stack.mails(summary) == [f"[critical] {summary}"]


def test_what_both_prometheus_have_found_was_one_mail(stack):
    """No service runs here, which is an alert for each."""
    summary = "budget-service is down"
    eventually(lambda: stack.mails(summary), 200, "no mail comes")
    assert stack.mails(summary) == [f"[critical] {summary}"]


def test_a_silence_is_known_to_all(stack):
    now = datetime.now(UTC)
    silence = {
        "matchers": [{"name": "service", "value": "quiet", "isRegex": False}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "a test",
        "comment": "gossip",
    }
    answer = httpx.post(f"{stack.url('alertmanager-2')}/api/v2/silences", json=silence).raise_for_status().json()

    def knows(name: str) -> bool:
        return answer["silenceID"] in {each["id"] for each in stack.asked(name, "/api/v2/silences")}

    for name in ALERTMANAGERS:
        eventually(lambda name=name: knows(name), 30, f"{name} does not know the silence")


@pytest.mark.parametrize("killed", ["prometheus", "alertmanager-3", "elasticsearch-2"])
def test_a_watcher_that_is_killed_is_missed_by_who_is_left(stack, killed):
    job = killed.partition("-")[0]
    witness = "prometheus-2"

    def seen() -> float:
        return stack.measured(witness, "job:watchers:sum")[job]

    whole = seen()
    with stack.without(killed):
        eventually(lambda: seen() == whole - 1, 120, f"nobody misses {killed}")
    eventually(lambda: seen() == whole, 120, f"{killed} is not seen again")


def health(stack: Pair, name: str) -> dict[str, Any]:
    return stack.asked(name, "/_cluster/health")


def is_whole(stack: Pair) -> bool:
    """Whether three nodes are one cluster, in which each shard has its copy."""
    return all(
        (each["status"], each["number_of_nodes"]) == ("green", 3) for each in (health(stack, name) for name in NODES)
    )


def test_the_three_nodes_are_one_green_cluster_and_each_index_has_a_copy(stack):
    eventually(lambda: is_whole(stack), 120, "the cluster is not green")
    index = f"logs-trial-service-{DAY}"
    httpx.put(f"{stack.url('elasticsearch-3')}/{index}").raise_for_status()
    settings = stack.asked("elasticsearch", f"/{index}/_settings")[index]["settings"]["index"]
    assert (settings["number_of_replicas"], settings["auto_expand_replicas"]) == ("1", "0-1")
    eventually(lambda: is_whole(stack), 60, "the new index is not green")


class Writer:
    """Sends log lines by `_bulk` to whichever node answers, each until it is taken, as Logstash's output does."""

    def __init__(self, stack: Pair) -> None:
        self._stack, self._stopped = stack, threading.Event()
        self.taken: list[str] = []
        self.failures = 0
        self._thread = threading.Thread(target=self._write)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write until the block ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join(120)
            assert not self._thread.is_alive()

    def _write(self) -> None:
        nodes = itertools.cycle([self._stack.url(name) for name in NODES])
        with httpx.Client(timeout=10) as client:
            for batch in itertools.count():
                waiting = [f"{batch}-{number}" for number in range(20)]
                while waiting:
                    waiting = self._send(client, next(nodes), waiting)
                if self._stopped.is_set():
                    return

    def _send(self, client: httpx.Client, node: str, lines: list[str]) -> list[str]:
        """Those of the lines that were not taken."""
        index = f"logs-trial-service-{DAY}"
        body = [
            json.dumps(each)
            for line in lines
            for each in (
                {"create": {"_index": index, "_id": line}},
                {"@timestamp": "2026-11-28T05:37:21Z", "service": "trial-service", "message": line},
            )
        ]
        try:
            answer = client.post(
                f"{node}/_bulk", content="\n".join([*body, ""]), headers={"Content-Type": "application/x-ndjson"}
            ).raise_for_status()
        except httpx.HTTPError:
            self.failures += 1
            time.sleep(0.1)
            return lines
        # 409: it was taken, and the answer was lost.
        status = {each["create"]["_id"]: each["create"]["status"] for each in answer.json()["items"]}
        self.taken += [line for line in lines if status[line] in (201, 409)]
        return [line for line in lines if status[line] not in (201, 409)]


def test_no_line_is_lost_when_the_elected_node_is_killed_while_lines_flow(stack):
    eventually(lambda: is_whole(stack), 120, "the cluster is not green")
    (elected,) = stack.asked("elasticsearch", "/_cat/master?format=json")
    others = [name for name in NODES if name != elected["node"]]
    writer = Writer(stack)
    with writer.running():
        eventually(lambda: len(writer.taken) > 400, 60, "the writer does not work")
        with stack.without(elected["node"]):
            killed = len(writer.taken)
            eventually(lambda: len(writer.taken) > killed + 400, 120, "the writer does not go on")
            assert {health(stack, name)["number_of_nodes"] for name in others} == {2}
            (now,) = stack.asked(others[0], "/_cat/master?format=json")
            assert now["node"] in others
        eventually(lambda: is_whole(stack), 180, "the cluster is not green again")
    assert writer.failures > 0
    index = f"logs-trial-service-{DAY}"
    httpx.post(f"{stack.url(others[0])}/{index}/_refresh", timeout=60).raise_for_status()
    assert len(writer.taken) == len(set(writer.taken))
    whole = {"size": 10_000, "_source": False}
    for name in NODES:
        found = httpx.post(f"{stack.url(name)}/{index}/_search", json=whole, timeout=60).json()
        assert len(writer.taken) < 10_000
        assert {each["_id"] for each in found["hits"]["hits"]} == {*writer.taken}


def test_the_first_node_can_be_alone_again_with_all_lines_and_become_one_of_three_again(stack):
    eventually(lambda: is_whole(stack), 120, "the cluster is not green")
    index = f"logs-trial-service-{DAY}"
    lines = stack.asked("elasticsearch", f"/{index}/_count")["count"]
    assert lines > 0
    marker = ("exec", "-T", "elasticsearch", "ls", "/usr/share/elasticsearch/data")
    assert "one-of-three" in stack.ha(*marker)
    stack.ha("exec", "-T", "elasticsearch", "bash", "/setup/alone.sh")
    assert "one-of-three" not in stack.ha(*marker)
    stack.ha("rm", "--stop", "--force", "elasticsearch-2", "elasticsearch-3")
    # Once as it is, and once as it starts when nobody else is there.
    for start in ((), ("up", "--detach", "--wait", "--force-recreate", "elasticsearch")):
        if start:
            stack.compose(*start)
        alone = eventually(lambda: health(stack, "elasticsearch"), 60, "it does not answer")
        assert (alone["status"], alone["number_of_nodes"]) == ("green", 1)
        assert stack.asked("elasticsearch", f"/{index}/_count")["count"] == lines
    stack.compose("run", "--rm", "--no-deps", "elasticsearch-setup")
    stack.compose("stop", "elasticsearch")
    stack.ha("up", "--detach", "--wait", *NODES)
    eventually(lambda: is_whole(stack), 120, "the cluster is not green again")
    assert stack.asked("elasticsearch-3", f"/{index}/_count")["count"] == lines


def members(stack: Pair, name: str) -> int:
    """How many an Alertmanager knows in its cluster, itself among them."""
    return len(stack.asked(name, "/api/v2/status")["cluster"].get("peers", ()))
