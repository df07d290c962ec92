"""Every line that a pod writes is stored in Elasticsearch, once, whatever ends: the pod, its Collector, Elasticsearch itself."""

import secrets
import time
from datetime import datetime, timedelta

import httpx
import pytest
from stack import environment
from stack.kubernetes import cluster
from stack.services import PROBE, SERVICES, service_named
from stack.settings import Settings

from tests.fixtures.strict import missing
from tests.kubernetes import load
from tests.kubernetes.log_lines import everything_is_stored_once, instances_of, stored, written
from tests.kubernetes.pods import Pod, kill_process, pods_of, remove_by_force, settle

pytestmark = pytest.mark.timeout(900)

SHIPPER = "otel-collector"


@pytest.fixture(autouse=True)
def elasticsearch(settings: Settings) -> Pod:
    """The pod of Elasticsearch, if PARTS has it run."""
    found = pods_of(settings, "elasticsearch")
    if not found:
        missing("PARTS leaves Elasticsearch out")
    return found[0]


def test_every_replicas_lines_are_documents_of_its_service_and_day(settings):
    everything_is_stored_once(settings)
    for service in (*SERVICES, PROBE):
        for pod in pods_of(settings, service.name):
            lines = written(settings, [pod])
            assert lines, pod["metadata"]["name"]
            for each in stored(settings, instances_of(lines)):
                line = each["_source"]
                assert each["_index"] == f"logs-{service.name}-{line['timestamp'][:10].replace('-', '.')}"
                assert line["tags"] == [service.name]
                late = datetime.fromisoformat(line["timestamp"]) - datetime.fromisoformat(line["@timestamp"])
                assert timedelta(0) <= late < timedelta(milliseconds=1)


def test_the_last_lines_of_a_pod_that_is_deleted_are_stored_and_its_traces_are_found(settings, verb):
    """The very last line is the one by which the server says that it has ended."""
    personnel = service_named("personnel")
    trace_id = secrets.token_hex(16)
    asked = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    page = f"{environment.url(personnel, settings)}/api/v1/departments"
    assert httpx.get(page, headers=asked, trust_env=False).status_code == 401
    ending = pods_of(settings, personnel.name)
    instances = [instances_of(written(settings, [each])) for each in ending]
    cluster.kubectl(settings, "delete", "pods", *(each["metadata"]["name"] for each in ending), "--wait=false")
    settle(settings, ending)
    for own in instances:
        last = [each["_source"]["message"] for each in stored(settings, own)][-1]
        assert last == "Finished server process [1]"
    assert f"/trace/{trace_id}" in verb("trace", trace_id[:12])


def test_no_line_is_lost_or_doubled_when_elasticsearch_and_a_collector_are_killed(settings, elasticsearch):
    with load.working(settings) as writers:
        time.sleep(5)
        remove_by_force(settings, [elasticsearch])
        kill_process(settings, pods_of(settings, "budget-service")[0], SHIPPER)
        time.sleep(5)
        kill_process(settings, pods_of(settings, "auth-service")[0], SHIPPER)
        settle(settings)
        kill_process(settings, pods_of(settings, "system-service")[0], SHIPPER)
        time.sleep(5)
        assert writers.end()["acknowledged"] > 0
    everything_is_stored_once(settings)
