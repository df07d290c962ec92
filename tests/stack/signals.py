"""Readers of a trace and its log lines: from files in local mode, else from Jaeger, and from Elasticsearch or Loki."""

import json
from pathlib import Path
from typing import Any

import httpx
from stack.services import SERVICES
from stack.settings import Settings
from stack.watch import logs, traces


def spans_in_files(settings: Settings, trace_id: str) -> list[traces.Span]:
    """The spans that the services have written."""
    return traces.of_trace(_folders(settings, "traces"), trace_id).get(trace_id, [])


def lines_in_files(settings: Settings, trace_id: str) -> list[logs.Line]:
    """The log lines that the services have written."""
    return logs.of_trace(_folders(settings, "logs"), trace_id)


def spans_in_jaeger(jaeger: httpx.Client, trace_id: str) -> list[traces.Span]:
    """The spans that Jaeger has stored."""
    answer = jaeger.get(f"/api/v3/traces/{trace_id}")
    if answer.status_code == 404:
        return []
    return list(traces.of_request(answer.raise_for_status().json()["result"]))


def hits_in_elasticsearch(elasticsearch: httpx.Client, trace_id: str) -> list[dict[str, Any]]:
    """The log lines that Elasticsearch has stored, each with its index: `_index`, and the line under `_source`."""
    wanted = {"query": {"term": {"trace_id": trace_id}}, "sort": ["timestamp"], "size": 1000}
    answer = elasticsearch.post("/logs-*/_search", json=wanted).raise_for_status().json()
    return answer["hits"]["hits"]


def lines_in_elasticsearch(elasticsearch: httpx.Client, trace_id: str) -> list[logs.Line]:
    """The log lines that Elasticsearch has stored."""
    return [hit["_source"] for hit in hits_in_elasticsearch(elasticsearch, trace_id)]


def lines_in_loki(loki: httpx.Client, trace_id: str) -> list[logs.Line]:
    """The log lines that Loki has stored."""
    found = asked_of_loki(loki, f'{{service_name=~".+"}} | trace_id="{trace_id}"')
    return sorted((json.loads(line) for line in found), key=lambda line: line["timestamp"])


def asked_of_loki(loki: httpx.Client, logql: str) -> list[str]:
    """The lines, or the values, that a question to Loki finds within the last hour."""
    answer = loki.get("/loki/api/v1/query_range", params={"query": logql, "since": "1h", "limit": 1000})
    assert answer.is_success, answer.text
    return [value for stream in answer.json()["data"]["result"] for _, value in stream["values"]]


def _folders(settings: Settings, kind: str) -> list[Path]:
    return [settings.state / kind / service.name for service in SERVICES]
