"""Each log line is found once, by its trace id and with the fields that people search by, and expires one day."""

import json
import re
import socket
from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.configs.dashboards import DEV, IN_ELASTICSEARCH, IN_LOKI, in_lucene, panels
from tests.fixtures.waiting import eventually
from tests.stack import signals

SECONDS = 90
FIELDS = {
    "timestamp", "level", "service", "environment", "version", "instance_id", "message", "context", "trace_id", "span_id",
    "request_id", "tenant_id", "user_id", "http", "duration_ms",
}  # fmt: skip
OF_ELASTICSEARCH, OF_LOKI = (
    [
        (panel["title"], target[language])
        for dashboard in dashboards.values()
        for panel in panels(dashboard)
        for target in panel["targets"]
        if panel["datasource"]["uid"] == uid and language in target
    ]
    for uid, language, dashboards in (("elasticsearch", "query", IN_ELASTICSEARCH), ("loki", "expr", IN_LOKI))
)
# Nothing has failed while all is well; what is refused is a warning.
MAY_BE_EMPTY = {"Errors of all services", "Errors of one service"}


def test_the_line_of_a_request_has_the_fields_of_the_design(read_lines, made):
    approved = made.approved

    def handled() -> list[dict]:
        lines = read_lines(approved.trace_id)
        return [line for line in lines if (line["service"], line["message"]) == ("budget-service", "request handled")]

    (line,) = eventually(handled, SECONDS, f"no line of trace {approved.trace_id}")
    assert line.keys() >= FIELDS
    assert (line["level"], line["context"], line["request_id"]) == ("info", "http", approved.headers["x-request-id"])
    assert line["http"].keys() == {"method", "route", "path", "status_code", "client_ip"}
    assert (line["http"]["route"], line["http"]["status_code"]) == (
        "/api/v1/expenditures/{expenditure_id}/approve",
        200,
    )
    assert line["http"]["path"] == approved.path
    assert line["tenant_id"] == made.tenant.tenant_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])


def test_what_a_service_does_with_an_event_is_in_the_same_trace(read_lines, made):
    def consumed() -> bool:
        lines = read_lines(made.approved.trace_id)
        return any((line["service"], line["message"]) == ("system-service", "event consumed") for line in lines)

    eventually(consumed, SECONDS, "no line of the event's consumer")


def test_a_line_is_stored_once_in_the_index_of_its_service_and_day(elasticsearch, shipped, made):
    hits = eventually(
        lambda: signals.hits_in_elasticsearch(elasticsearch, made.created), SECONDS, f"no line of trace {made.created}"
    )
    for hit in hits:
        day = hit["_source"]["timestamp"][:10].replace("-", ".")
        assert hit["_index"] == f"logs-{hit['_source']['service']}-{day}"
    lines = Counter(json.dumps([hit["_source"][name] for name in ("timestamp", "service", "message")]) for hit in hits)
    assert [line for line, times in lines.items() if times > 1] == []


def test_a_line_that_is_sent_by_tcp_arrives(elasticsearch, logstash):
    trace_id = uuid4().hex
    line = {
        "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": "info",
        "service": "auth-service",
        "message": "sent by make test-stack",
        "trace_id": trace_id,
    }
    with socket.create_connection(logstash, 5) as connection:
        connection.sendall(json.dumps(line).encode() + b"\n")
    (hit,) = eventually(
        lambda: signals.hits_in_elasticsearch(elasticsearch, trace_id), SECONDS, "the line has not arrived"
    )
    assert hit["_source"].items() >= line.items()


@pytest.mark.parametrize(("title", "query"), OF_ELASTICSEARCH)
def test_what_a_panel_asks_elasticsearch_finds_lines(elasticsearch, shipped, made, title, query):
    filled = in_lucene(query, job="auth-service", service=["auth-service"], trace_id=made.created, user_id="")
    recent = {"range": {"@timestamp": {"gte": int(made.began * 1000), "format": "epoch_millis"}}}
    search = {"query": {"bool": {"must": {"query_string": {"query": filled}}, "filter": recent}}, "size": 1}

    def asked() -> list[dict]:
        return elasticsearch.post("/logs-*/_search", json=search).raise_for_status().json()["hits"]["hits"]

    if title in MAY_BE_EMPTY:
        asked()  # an error fails here, an empty result does not
    else:
        eventually(asked, SECONDS, f"{title} finds nothing by {filled}")


@pytest.mark.parametrize(("title", "query"), OF_LOKI)
def test_what_a_panel_asks_loki_finds_lines(loki, made, title, query):
    chosen = {"$service": "auth-service", "$job": "auth-service", "${trace_id}": made.created, "${user_id}": ""}
    filled = query.replace("$__auto", "5m")
    for variable, value in chosen.items():
        filled = filled.replace(variable, value)
    if title in MAY_BE_EMPTY:
        signals.asked_of_loki(loki, filled)  # an error fails here, an empty result does not
    else:
        eventually(lambda: signals.asked_of_loki(loki, filled), SECONDS, f"{title} finds nothing by {filled}")


def test_lines_are_kept_as_long_as_the_policy_says(elasticsearch):
    answer = elasticsearch.get("/_ilm/policy/app-logs")
    assert answer.is_success, f"elasticsearch-setup has stored no policy: {answer.text}"
    stored = answer.json()["app-logs"]["policy"]["phases"]
    wanted = json.loads((DEV / "elasticsearch/ilm.json").read_text())["policy"]["phases"]
    assert {name: phase["min_age"] for name, phase in stored.items()} == {
        name: phase["min_age"] for name, phase in wanted.items()
    }
    assert stored["delete"]["actions"].keys() == {"delete"}


def test_a_new_index_follows_our_template(elasticsearch):
    path = "/_index_template/_simulate_index/logs-auth-service-2026.01.31"
    answer = elasticsearch.post(path).raise_for_status().json()
    assert "template" in answer, "elasticsearch-setup has stored no template"
    index = answer["template"]
    assert index["settings"]["index"]["lifecycle"]["name"] == "app-logs"
    assert index["settings"]["index"]["auto_expand_replicas"] == "0-1"
    wanted = json.loads((DEV / "elasticsearch/template.json").read_text())["template"]["mappings"]["properties"]
    assert {name: field.get("type") for name, field in index["mappings"]["properties"].items()} == {
        name: field.get("type") for name, field in wanted.items()
    }


def test_no_shard_is_without_a_place(elasticsearch):
    assert elasticsearch.get("/_cluster/health?wait_for_status=green&timeout=20s").json()["status"] == "green"
