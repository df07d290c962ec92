"""What the page must show: worked out anew from /metrics, by the parser of Prometheus's own client, and from the span files."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from page import words
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from stack.environment import url
from stack.services import Program
from stack.settings import Settings

from libs.observability.files import rotated

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
SERVER, CLIENT, CONSUMER = 2, 3, 5
ERROR = 2
SLOT_SECONDS = 10


def samples(stack: Settings, service: Program) -> list[Sample]:
    """Every sample of a service's /metrics, with its exemplar."""
    answer = httpx.get(f"{url(service, stack)}/metrics", headers=OPENMETRICS)
    return [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]


def since_its_start(found: list[Sample]) -> dict[str, str]:
    """What these samples say of a service since its process began, by the overview's columns."""
    requests = [each for each in found if each.name == "http_requests_total"]
    failed = sum(each.value for each in requests if each.labels["status"] == "5xx")
    memory = next(each.value for each in found if each.name == "process_resident_memory_bytes")
    return {
        "Errors": words.ratio(failed / sum(each.value for each in requests)),
        "p50": words.duration(quantile(0.5, found, "http_request_duration_seconds_bucket")),
        "p95": words.duration(quantile(0.95, found, "http_request_duration_seconds_bucket")),
        "Memory": words.size(memory),
        "Loop lag": words.duration(quantile(0.95, found, "event_loop_lag_seconds_bucket")),
    }


def quantile(part: float, found: list[Sample], name: str) -> float:
    """As Prometheus's histogram_quantile estimates it from all buckets of this name."""
    buckets: dict[float, float] = {}
    for each in found:
        if each.name == name:
            bound = float(each.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + each.value
    rank = part * buckets[math.inf]
    below = counted = 0.0
    for bound, count in sorted(buckets.items()):
        if count >= rank:
            return below + (bound - below) * (rank - counted) / (count - counted)
        below, counted = bound, count
    raise AssertionError(f"{name} has no bucket that holds all")


@dataclass
class Calls:
    """Every call of one edge of the map."""

    over: float
    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def shown(self) -> tuple[str, str]:
        """Its rate and its errors, as the map shows them."""
        return words.rate(len(self.seconds) / self.over), words.ratio(self.failed / len(self.seconds))

    def p95(self) -> float:
        """In seconds: what no more than a twentieth of the calls exceed."""
        return sorted(self.seconds)[math.ceil(0.95 * len(self.seconds)) - 1]


def calls(stack: Settings, seconds: float) -> dict[str, Calls]:
    """The calls of the last seconds by the ids of the map's rows.

    Of requests from outside, those that began then; of others, those that ended then or earlier in the same slot.
    """
    now = time.time()
    start = now - seconds
    slot = start // SLOT_SECONDS * SLOT_SECONDS
    ports = {str(stack.port(each.port_variable)): each.name for each in stack.programs}
    recorded = list(spans(stack))
    known = {span["spanId"] for _, span in recorded}
    found: dict[str, Calls] = {}
    for service, span in recorded:
        told = {each["key"]: str(next(iter(each["value"].values()))) for each in span.get("attributes", ())}
        began, ended = (int(span[f"{end}TimeUnixNano"]) / 1e9 for end in ("start", "end"))
        edge, has_failed = "", span.get("status", {}).get("code") == ERROR
        if span["kind"] == SERVER and span.get("parentSpanId") not in known and start <= began:
            edge, has_failed = f"outside {service} http", told.get("http.response.status_code", "500") >= "500"
        elif slot <= ended and span["kind"] == CONSUMER and "cloudevents.event_source" in told:
            edge = f"{told['cloudevents.event_source']} {service} event"
        elif slot <= ended and span["kind"] == CLIENT and "db.namespace" in told:
            edge = f"{service} {told['db.namespace']} database"
        elif slot <= ended and span["kind"] == CLIENT and (called := ports.get(told.get("server.port", ""))):
            edge = f"{service} {called} http"
        if edge:
            of = found.setdefault(edge, Calls(seconds if edge.startswith("outside") else now - slot))
            of.seconds.append(ended - began)
            of.failed += has_failed
    return found


def spans(stack: Settings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every span that is in a file, with its service."""
    for current in stack.state.glob("traces/*/spans.jsonl"):
        for file in (*rotated(current), current):
            for line in file.read_bytes().splitlines():
                for resource in orjson.loads(line)["resourceSpans"]:
                    told = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
                    for scope in resource["scopeSpans"]:
                        yield from ((told["service.name"]["stringValue"], span) for span in scope["spans"])
