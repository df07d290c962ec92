"""The components `ha`: of two Prometheus and three Alertmanagers all but one may go, and an alert is one mail; of three nodes
of Elasticsearch one may go, and no log line is lost.

A pod that is removed stays away for as long as a test wants, since its StatefulSet is taken away before and put back
afterwards. Pods are asked through the API server, which comes from the node: no door keeps it out.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from stack.kubernetes import cluster, overlay
from stack.kubernetes.cluster import NAMESPACE, ClusterError
from stack.services import PROBE, SERVICES
from stack.settings import Settings

from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually
from tests.kubernetes import load
from tests.kubernetes.conftest import Verb
from tests.kubernetes.log_lines import everything_is_stored_once
from tests.kubernetes.pods import Pod, pods_of, remove_by_force, settle

pytestmark = pytest.mark.timeout(900)

PROMETHEUSES = ["prometheus-0", "prometheus-1"]
ALERTMANAGERS = ["alertmanager-0", "alertmanager-1", "alertmanager-2"]
NODES = ["elasticsearch-0", "elasticsearch-1", "elasticsearch-2"]
PORTS = dict.fromkeys(PROMETHEUSES, 9090) | dict.fromkeys(ALERTMANAGERS, 9093) | dict.fromkeys(NODES, 9200)
# Of alertmanager.yml: a critical alert waits for others of its group.
GROUP_WAIT_SECONDS = 10
# Alertmanager's default of --cluster.peer-timeout.
PEER_SECONDS = 15
TO_PEOPLE = [25, 443, 465, 587]
ELSEWHERE = [80, 2525]
LISTENS = """
import http.server, sys, threading
for port in map(int, sys.argv[1:]):
    server = http.server.ThreadingHTTPServer(("", port), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever).start()
"""
CONNECTS = """
import contextlib, socket, sys
for port in map(int, sys.argv[2:]):
    with contextlib.suppress(OSError):
        socket.create_connection((sys.argv[1], port), timeout=3).close()
        print(port)
"""


class Watchers:
    """The pods of the watchers, and how each of them is asked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def asked(self, pod: str, path: str, **parameters: Any) -> Any:
        """What one pod answers."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return json.loads(cluster.kubectl(self.settings, "get", f"--raw={_proxy(pod, PORTS[pod])}{path}{query}"))

    def told(self, pod: str, labels: Mapping[str, str], notes: Mapping[str, str]) -> None:
        """Send an alert to one Alertmanager."""
        words = [f'{name}="{value}"' for name, value in labels.items()]
        words += [f'--annotation={name}="{value}"' for name, value in notes.items()]
        to = f"--alertmanager.url=http://localhost:{PORTS[pod]}"
        cluster.kubectl(self.settings, "exec", pod, "--", "amtool", to, "alert", "add", *words)

    def measured(self, pod: str, expr: str) -> dict[str, float]:
        """What one Prometheus answers, by job."""
        found = self.asked(pod, "/api/v1/query", query=expr)["data"]["result"]
        return {each["metric"].get("job", ""): float(each["value"][1]) for each in found}

    def targets(self, pod: str, job: str) -> int:
        """How many targets one Prometheus has for a job."""
        found = self.asked(pod, "/api/v1/targets", state="active")["data"]["activeTargets"]
        return sum(each["labels"]["job"] == job for each in found)

    def mails(self, summary: str) -> list[str]:
        """The subjects of the mails about an alert."""
        (mailpit,) = pods_of(self.settings, "mailpit")
        path = f"{_proxy(mailpit['metadata']['name'], 8025)}/api/v1/messages?limit=500"
        found = json.loads(cluster.kubectl(self.settings, "get", f"--raw={path}"))["messages"]
        return [each["Subject"] for each in found if summary in each["Subject"]]

    def members(self, pod: str) -> int:
        """How many an Alertmanager knows in its cluster, itself among them."""
        return len(self.asked(pod, "/api/v2/status")["cluster"].get("peers", ()))

    def health(self, pod: str) -> tuple[str, int]:
        """The colour of Elasticsearch's cluster and the number of its nodes, as one of these knows them."""
        found = self.asked(pod, "/_cluster/health")
        return found["status"], found["number_of_nodes"]

    def are_three(self) -> bool:
        """Whether all Alertmanagers know each other."""
        return all(self.members(name) == len(ALERTMANAGERS) for name in ALERTMANAGERS)

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """These pods are removed by force, and nothing takes their place until the block ends."""
        if not names:
            yield
            return
        workload = names[0].rpartition("-")[0]
        gone: list[Pod] = [each for each in pods_of(self.settings, workload) if each["metadata"]["name"] in names]
        assert len(gone) == len(names)
        cluster.kubectl(self.settings, "delete", f"statefulset/{workload}", "--cascade=orphan")
        try:
            remove_by_force(self.settings, gone)
            yield
        finally:
            rendered = overlay.objects_of(overlay.render(self.settings), lambda kind: kind == "StatefulSet")
            cluster.apply(self.settings, rendered)
            settle(self.settings, gone)


def _proxy(pod: str, port: int) -> str:
    return f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy"


@pytest.fixture(scope="module")
def watchers(settings: Settings, verb: Verb) -> Iterator[Watchers]:
    """The watchers of the stack as pairs, as `make up PARTS="… ha"` makes them, and alone again afterwards."""
    before = settings.values["PARTS"] or "all"
    verb("up", "--parts", f"{before} ha")
    try:
        yield Watchers(settings)
    finally:
        verb("up", "--parts", before)


def test_all_of_them_run_on_one_node_and_see_each_other(watchers):
    whole = {"prometheus": len(PROMETHEUSES), "alertmanager": len(ALERTMANAGERS)}
    for name in PROMETHEUSES:

        def seen(name: str = name) -> bool:
            return whole.items() <= watchers.measured(name, "job:watchers:sum").items()

        eventually(seen, 120, f"{name} does not see all")
        active = watchers.asked(name, "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        assert len(active) == len(ALERTMANAGERS)
    eventually(watchers.are_three, 60, "the three do not find each other")


def test_what_both_prometheus_send_is_one_alert_at_each_alertmanager(watchers):
    configs = [watchers.asked(name, "/api/v1/status/config")["data"]["yaml"] for name in PROMETHEUSES]
    assert [yaml.safe_load(each)["global"]["external_labels"]["replica"] for each in configs] == PROMETHEUSES

    def watchdogs(name: str) -> list[dict[str, str]]:
        return [each["labels"] for each in watchers.asked(name, "/api/v2/alerts", filter='alertname="Watchdog"')]

    for name in ALERTMANAGERS:
        eventually(lambda name=name: watchdogs(name), 60, f"no alert arrives at {name}")
        assert watchdogs(name) == [{"alertname": "Watchdog", "service": "prometheus", "severity": "none"}]


@pytest.mark.parametrize("removed", [[], ["alertmanager-0"], ["alertmanager-0", "alertmanager-2"]], ids=len)
def test_an_alert_is_one_mail_whoever_of_the_cluster_is_removed(watchers, removed):
    eventually(watchers.are_three, 120, "the three do not find each other")
    summary = f"Something is on trial without {len(removed)}"
    labels = {"alertname": "Trial", "severity": "critical", "service": f"trial-{len(removed)}"}
    notes = {"summary": summary, "description": "Sent by a test.", "dashboard": "overview", "runbook_url": "none"}
    with watchers.without(*removed):
        for name in ALERTMANAGERS:
            if name not in removed:
                watchers.told(name, labels, notes)
        # Each waits for those before it, and then finds that the mail has been sent.
        time.sleep(GROUP_WAIT_SECONDS + len(ALERTMANAGERS) * PEER_SECONDS)
        assert watchers.mails(summary) == [f"[critical] {summary}"]
    eventually(watchers.are_three, 120, "the removed are not back")
    time.sleep(PEER_SECONDS)
    assert watchers.mails(summary) == [f"[critical] {summary}"]


def test_what_both_prometheus_find_is_one_mail(watchers):
    summary = "budget-service is down"
    replicas = len(pods_of(watchers.settings, "budget-service"))
    cluster.kubectl(watchers.settings, "scale", "deployment/budget-service", "--replicas=0")
    try:
        eventually(lambda: watchers.mails(summary), 240, "no mail comes")
        time.sleep(len(ALERTMANAGERS) * PEER_SECONDS)
        assert watchers.mails(summary) == [f"[critical] {summary}"]
    finally:
        cluster.kubectl(watchers.settings, "scale", "deployment/budget-service", f"--replicas={replicas}")
        settle(watchers.settings)


@pytest.mark.parametrize("removed", PROMETHEUSES)
def test_whichever_prometheus_is_left_answers_by_the_name_of_both(watchers, removed):
    """As Jaeger asks it, for its page Monitor."""
    asked = ["wget", "-q", "-T", "5", "-O", "-", "http://prometheus:9090/api/v1/query?query=job:up:sum"]

    def answers() -> bool:
        """Whether five questions in a row are answered."""
        try:
            said = [cluster.kubectl(watchers.settings, "exec", "jaeger-0", "--", *asked) for _ in range(5)]
        except ClusterError:
            return False
        return {len(json.loads(each)["data"]["result"]) for each in said} == {len(SERVICES)}

    (left,) = [name for name in PROMETHEUSES if name != removed]
    eventually(answers, 60, "the pair does not answer")
    with watchers.without(removed):
        eventually(lambda: watchers.targets(left, "prometheus") == 1, 60, f"{removed} is still there")
        # Until the name has lost the address everywhere, for some seconds, whoever asks may meet one that has gone.
        eventually(answers, 60, f"{left} does not answer by the name of both")
    eventually(lambda: watchers.measured(removed, "job:up:sum"), 120, f"{removed} is not back")


@pytest.fixture
def nodes(watchers: Watchers) -> list[str]:
    """The pods of Elasticsearch, if PARTS has it run."""
    found = [each["metadata"]["name"] for each in pods_of(watchers.settings, "elasticsearch")]
    if not found:
        missing("PARTS leaves Elasticsearch out")
    assert sorted(found) == NODES
    return found


def test_no_line_is_lost_when_the_elected_node_is_removed_while_lines_flow(watchers, nodes):
    eventually(lambda: watchers.health(nodes[0]) == ("green", 3), 120, "the three are not one green cluster")
    [elected] = [each["node"] for each in watchers.asked(nodes[0], "/_cat/master", format="json")]
    left = next(name for name in nodes if name != elected)
    with load.working(watchers.settings) as writers:
        time.sleep(5)
        with watchers.without(elected):
            eventually(lambda: watchers.health(left)[1] == 2, 120, "the two that are left elect nobody")
            time.sleep(5)
        assert writers.end()["acknowledged"] > 0
    everything_is_stored_once(watchers.settings)
    eventually(lambda: watchers.health(left) == ("green", 3), 180, "the cluster is not green again")


@pytest.fixture
def far_end(settings: Settings) -> Iterator[str]:
    """The address of a pod in another namespace, which listens on the ports of people and on others."""
    namespace = f"{NAMESPACE}-far-{secrets.token_hex(4)}"
    (probe,) = cluster.found(settings, "deployments", f"--field-selector=metadata.name={PROBE.name}")
    (container,) = probe["spec"]["template"]["spec"]["containers"]
    ports = [str(port) for port in (*TO_PEOPLE, *ELSEWHERE)]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "far-end", "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
            "containers": [
                {
                    "name": "far-end",
                    "image": container["image"],
                    "command": ["python", "-c", LISTENS, *ports],
                    "readinessProbe": {"tcpSocket": {"port": int(ports[-1])}, "periodSeconds": 1},
                }
            ],
        },
    }
    whole = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, pod]
    there = f"--namespace={namespace}"
    try:
        cluster.kubectl(settings, there, "apply", "--filename=-", given=yaml.safe_dump_all(whole))
        cluster.kubectl(settings, there, "wait", "pod/far-end", "--for=condition=Ready", "--timeout=60s")
        yield cluster.kubectl(settings, there, "get", "pod/far-end", "--output=jsonpath={.status.podIP}")
    finally:
        cluster.kubectl(settings, "delete", "namespace", namespace)


def test_alertmanager_reaches_mail_and_slack_outside_of_the_namespace_and_nothing_else(watchers, far_end):
    ports = [str(port) for port in (*TO_PEOPLE, *ELSEWHERE)]
    script = 'for port; do timeout 3 wget -q -O /dev/null "http://$0:$port/" && echo "$port"; done; true'
    said = cluster.kubectl(watchers.settings, "exec", ALERTMANAGERS[0], "--", "sh", "-c", script, far_end, *ports)
    assert said.split() == [str(port) for port in TO_PEOPLE]


def test_neither_services_nor_probe_reach_anything_outside_of_the_namespace(settings, far_end):
    ports = [str(port) for port in (*TO_PEOPLE, *ELSEWHERE)]
    command = ["python", "-c", CONNECTS, far_end, *ports]
    for each in (PROBE, *SERVICES):
        assert cluster.kubectl(settings, "exec", f"deployment/{each.name}", "--", *command) == ""
