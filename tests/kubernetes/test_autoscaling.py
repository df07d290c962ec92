"""The autoscaler of `production`: budget gets a third replica while it is busy, and loses it when it is not; nobody is woken."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from stack.kubernetes import cluster, overlay
from stack.kubernetes.cluster import NAMESPACE
from stack.services import BUDGET
from stack.settings import Settings

from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually
from tests.kubernetes.pods import pods_of, settle

pytestmark = pytest.mark.timeout(600)

# The controller reads the metrics every 15 seconds, which are those of the last 15 to 30.
SCALED_WITHIN_SECONDS = 180
# Prometheus asks for the addresses, and then scrapes, every 15 seconds.
SEEN_WITHIN_SECONDS = 60
MOST = 3


@pytest.fixture
def autoscaler(settings: Settings) -> Iterator[None]:
    """Budget's, which two cores can make busy and which does not wait for five minutes before it takes a replica away."""
    if not cluster.exists(settings, "apiservice", "v1beta1.metrics.k8s.io"):
        missing("the cluster has no metrics API")
    manifest = overlay.OVERLAYS / "production/autoscaling.yaml"
    found = {each["metadata"]["name"]: each for each in yaml.safe_load_all(manifest.read_text())}[BUDGET.name]
    found["spec"] |= {"maxReplicas": MOST, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    found["spec"]["metrics"][0]["containerResource"]["target"]["averageValue"] = "200m"
    least = found["spec"]["minReplicas"]
    assert least == len(pods_of(settings, BUDGET.name))
    cluster.kubectl(settings, "create", "--filename=-", given=json.dumps(found))
    yield
    cluster.kubectl(settings, "delete", "horizontalpodautoscaler", BUDGET.name)
    cluster.kubectl(settings, "scale", f"deployment/{BUDGET.name}", f"--replicas={least}")
    settle(settings)


@pytest.fixture
def busy(settings: Settings) -> Iterator[Callable[[], None]]:
    """Budget's containers, each of which has a loop beside the service; ends the loops."""
    loop = ("--container=service", "--", "sh", "-c", "while :; do :; done & read -r _; kill $!")
    pods = [each["metadata"]["name"] for each in pods_of(settings, BUDGET.name)]
    loops = [
        subprocess.Popen(cluster.command(settings, "exec", "--stdin", pod, *loop), stdin=subprocess.PIPE)
        for pod in pods
    ]

    def end() -> None:
        for each in loops:
            each.communicate()

    yield end
    end()


def test_a_busy_service_gets_a_replica_and_loses_it_again(settings, autoscaler, busy):
    settle(settings)
    eventually(lambda: replicas(settings) == MOST, SCALED_WITHIN_SECONDS, lambda: describe(settings))
    eventually(lambda: scraped(settings) == MOST, SEEN_WITHIN_SECONDS, "Prometheus does not see the new replica")
    busy()
    eventually(lambda: replicas(settings) == MOST - 1, SCALED_WITHIN_SECONDS, lambda: describe(settings))
    settle(settings)
    eventually(
        lambda: scraped(settings) == MOST - 1, SEEN_WITHIN_SECONDS, "Prometheus misses the replica that has gone"
    )
    # Nobody waits for the one that has gone: it was missing for as long as its pod took to end, and is no more.
    eventually(lambda: not missed(settings), SEEN_WITHIN_SECONDS, "a replica is missed")


def replicas(settings: Settings) -> int:
    """How many the Deployment wants and has."""
    (found,) = cluster.found(settings, "deployments", f"--field-selector=metadata.name={BUDGET.name}")
    ready = found["status"].get("readyReplicas", 0)
    return ready if ready == found["spec"]["replicas"] else 0


def scraped(settings: Settings) -> int:
    """How many Prometheus reaches."""
    [found] = asked(settings, "/api/v1/query", query=f'sum(up{{job="{BUDGET.name}"}})')["result"]
    return int(found["value"][1])


def missed(settings: Settings) -> list[dict[str, str]]:
    """The alerts, pending ones too, that a replica is missing."""
    found = [each["labels"] for each in asked(settings, "/api/v1/alerts")["alerts"]]
    return [each for each in found if each["alertname"] == "ReplicaDown"]


def describe(settings: Settings) -> str:
    """What the autoscaler says of itself."""
    return cluster.kubectl(settings, "describe", "horizontalpodautoscaler", BUDGET.name)


def asked(settings: Settings, path: str, **parameters: str) -> Any:
    """What Prometheus answers."""
    whole = f"/api/v1/namespaces/{NAMESPACE}/pods/prometheus-0:9090/proxy{path}?{urlencode(parameters)}"
    return json.loads(cluster.kubectl(settings, "get", f"--raw={whole}"))["data"]
