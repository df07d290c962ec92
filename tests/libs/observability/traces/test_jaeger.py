"""Collectors and agents can read what Jaeger's own protocol carries."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from libs.observability.traces import jaeger
from tests.libs.observability.receivers import decode_packet, decode_post, http_collector, udp_agent

RESOURCE = {"service.name": "auth-service", "service.version": "1.2.3"}


def spans_of(count: int = 1, text: str = "ü") -> Sequence[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(RESOURCE))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    for number in range(count):
        with tracer.start_as_current_span(f"server {number}", kind=SpanKind.SERVER) as server:
            server.set_attributes({"text": text, "number": 7, "ok": True, "share": 0.5})
            server.add_event("exception", {"exception.type": "ValueError", "exception.stacktrace": text})
            server.set_status(Status(StatusCode.ERROR))
            tracer.start_span("client", kind=SpanKind.CLIENT).end()
    return memory.get_finished_spans()


def tags(holder: Iterable[Any]) -> dict[str, object]:
    value = {0: "vStr", 1: "vDouble", 2: "vBool", 3: "vLong", 4: "vBinary"}
    return {tag.key: getattr(tag, value[tag.vType]) for tag in holder}


def check(batch: Any) -> None:
    """A batch of one server span and its client span."""
    assert batch.process.serviceName == "auth-service"
    assert tags(batch.process.tags) == {"service.version": "1.2.3"}
    client, server = batch.spans
    assert (server.operationName, client.operationName) == ("server 0", "client")
    assert client.parentSpanId == server.spanId
    assert (client.traceIdHigh, client.traceIdLow) == (server.traceIdHigh, server.traceIdLow)
    assert server.traceIdHigh != 0
    assert (server.flags, client.flags) == (1, 1)
    expected = {"text": "ü", "number": 7, "ok": True, "share": 0.5, "span.kind": "server", "error": True}
    assert expected.items() <= tags(server.tags).items()
    assert "service.version" not in tags(server.tags)
    assert None not in tags(server.tags).values()
    assert {"message": "exception", "exception.type": "ValueError"}.items() <= tags(server.logs[0].fields).items()


def test_a_collector_can_read_what_is_posted(monkeypatch):
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_JAEGER_ENDPOINT", collector.url + "/api/traces")
        assert jaeger.exporter().export(spans_of()) is SpanExportResult.SUCCESS
    [(path, headers, body)] = collector.requests
    assert (path, headers["content-type"]) == ("/api/traces", "application/x-thrift")
    check(decode_post(body))


def test_an_agent_can_read_what_is_sent():
    with udp_agent() as agent:
        exporter = jaeger.exporter("127.0.0.1", agent.getsockname()[1])
        assert exporter.export(spans_of()) is SpanExportResult.SUCCESS
        check(decode_packet(agent.recv(70_000)))


def test_a_collector_that_refuses_is_a_failure_and_gets_the_next_batch_whole(monkeypatch):
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_JAEGER_ENDPOINT", collector.url + "/api/traces")
        exporter = jaeger.exporter()
        collector.status = 503
        assert exporter.export(spans_of()) is SpanExportResult.FAILURE
        collector.status = 202
        assert exporter.export(spans_of()) is SpanExportResult.SUCCESS
    check(decode_post(collector.requests[1][2]))


def test_a_collector_that_is_not_there_is_an_exception_for_the_counting_wrapper(monkeypatch):
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_JAEGER_ENDPOINT", collector.url + "/api/traces")
    with pytest.raises(OSError):
        jaeger.exporter().export(spans_of())


def test_a_batch_too_large_for_a_packet_goes_in_several():
    with udp_agent() as agent:
        jaeger.exporter("127.0.0.1", agent.getsockname()[1]).export(spans_of(100, "x" * 2000))
        received = []
        while len(received) < 200:
            packet = agent.recv(70_000)
            assert len(packet) <= 65_000
            received += decode_packet(packet).spans
    assert sorted(span.operationName for span in received if span.operationName != "client") == sorted(
        f"server {number}" for number in range(100)
    )


def test_a_span_too_large_for_a_packet_is_shortened():
    with udp_agent() as agent:
        jaeger.exporter("127.0.0.1", agent.getsockname()[1]).export(spans_of(1, "x" * 70_000))
        spans = decode_packet(agent.recv(70_000)).spans + decode_packet(agent.recv(70_000)).spans
    [server] = [span for span in spans if span.operationName == "server 0"]
    assert len(tags(server.tags)["text"]) == 256
