"""The floor of the bench delivers what ours delivers, so that the two costs can be compared."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.processes import Cores, Stage
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

NOT_OF_THE_FLOOR = {"http_requests_inprogress", "http_connections_refused_total"}
OF_EACH_REQUEST = ("timestamp", "duration_ms", "instance_id", "trace_id", "span_id", "request_id")


class Collector(http.server.ThreadingHTTPServer):
    """Keeps the spans that it receives."""

    spans: list[Span]


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                running.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with Collector(("127.0.0.1", 0), Handler) as running:
        running.spans = []
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def delivered(wiring: str, collector: Collector, folder: Path) -> tuple[dict[str, Any], Span, list[str]]:
    """The access line, the span and the samples of one request to an application of the bench."""
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}"}
    with Stage(folder, Cores(None, None)) as stage:
        server = stage.start_program("measured", "bench.apps", wiring, ready="/items/7", environment=given)
        page = server.get("/metrics")
    lines = [json.loads(line) for line in (server.folder / "combined.log").read_text().splitlines()]
    [line] = [line for line in lines if line["message"] == "request handled"]
    [span] = collector.spans
    collector.spans = []
    return line, span, [sample for sample in page.splitlines() if sample.startswith("http_")]


def families(samples: list[str]) -> set[str]:
    return {re.split("[{ ]", sample)[0] for sample in samples}


def of(span: Span) -> tuple[object, ...]:
    """Everything in a span that does not differ from request to request."""
    attributes = {each.key: each.value for each in span.attributes if each.key != "server.port"}
    return span.name, span.kind, span.flags, span.HasField("status"), span.status, attributes


def test_the_floor_delivers_the_same_line_span_and_series_as_ours(collector, tmp_path):
    line, span, series = delivered("floor", collector, tmp_path / "floor")
    our_line, our_span, our_series = delivered("ours", collector, tmp_path / "ours")
    assert list(line) == list(our_line)
    assert [line[key] for key in line if key not in OF_EACH_REQUEST] == [
        our_line[key] for key in our_line if key not in OF_EACH_REQUEST
    ]
    assert {key: len(line[key]) for key in OF_EACH_REQUEST[2:]} == {
        key: len(our_line[key]) for key in OF_EACH_REQUEST[2:]
    }
    assert of(span) == of(our_span)
    assert (span.trace_id.hex(), span.span_id.hex()) == (line["trace_id"], line["span_id"])
    assert families(series) == families(our_series) - NOT_OF_THE_FLOOR
