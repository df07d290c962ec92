"""The fast exporter sends what the library would send, and steps aside, with one warning, where it would not."""

import gzip

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from libs.observability.fast import otlp
from libs.observability.fast.sender import FastExporter, encode, proven
from libs.observability.traces.provider import Provider
from tests.fixtures.telemetry import read_lines
from tests.libs.observability.fast.kept import Kept
from tests.libs.observability.receivers import decode_otlp, http_collector

WARNING = "the fast span exporter is not used"
PROGRAM = """
from libs.observability import start
from opentelemetry import trace
telemetry = start()
for number in range(3):
    with trace.get_tracer("program").start_as_current_span(f"work {number}", attributes={"a": "b"}): pass
telemetry.shutdown()
"""


def some_spans() -> Kept:
    kept = Kept()
    tracer = Provider(Resource({"service.name": "a"}), queues=[kept]).get_tracer("test")
    for number in range(5):
        tracer.start_span(f"span {number}", attributes={"number": number}).end()
    return kept


def test_the_exporter_sends_them_and_says_whether_they_were_accepted(monkeypatch):
    spans = some_spans()
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
        exporter = FastExporter()
        assert exporter.export([encode(span) for span in spans]) is SpanExportResult.SUCCESS
        collector.status = 400
        assert exporter.export([encode(span) for span in spans]) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert exporter.export([encode(span) for span in spans]) is SpanExportResult.FAILURE
    path, headers, body = collector.requests[0]
    assert (path, headers["content-type"], headers["x-key"]) == ("/v1/traces", "application/x-protobuf", "secret")
    assert headers["content-length"] == str(len(body))
    assert sorted(decode_otlp(body)) == sorted(span.name for span in spans)


def test_the_body_is_compressed_as_the_variables_say(monkeypatch):
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        assert FastExporter().export([encode(span) for span in some_spans()]) is SpanExportResult.SUCCESS
    [(_, headers, body)] = collector.requests
    assert headers["content-encoding"] == "gzip"
    assert len(decode_otlp(gzip.decompress(body))) == 5


def test_a_refusal_that_passes_is_tried_again_with_the_same_spans(monkeypatch):
    with http_collector() as collector:
        collector.refusals = [503]
        exporter = FastExporter(endpoint=f"{collector.url}/v1/traces", compression=Compression.NoCompression)
        assert exporter.export([encode(span) for span in some_spans()]) is SpanExportResult.SUCCESS
    first, second = (body for _, _, body in collector.requests)
    assert first == second
    assert len(decode_otlp(second)) == 5


def test_it_proves_itself_with_the_installed_library(caplog):
    assert isinstance(proven(), FastExporter)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("START", 0x41),
        ("LOCAL", otlp.REMOTE),
        ("KINDS", dict.fromkeys(otlp.KINDS, otlp.KIND + b"\x01")),
        ("BOOL", otlp.INT),
        ("STATE", otlp.NAME),
        ("encode_spans", lambda spans: ExportTraceServiceRequest()),
        ("_varint", lambda number: bytes((number & 0x7F,))),
    ],
)
def test_a_byte_that_differs_is_one_warning_and_no_fast_exporter(caplog, monkeypatch, name, value):
    for cached in vars(otlp).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    monkeypatch.setattr(otlp, name, value)
    assert proven() is None
    assert [(record.levelname, record.message) for record in caplog.records] == [("WARNING", WARNING)]


def test_where_it_steps_aside_every_span_still_arrives_and_there_is_one_warning(run, tmp_path):
    with http_collector() as collector:
        result = run(
            "from libs.observability.fast import otlp\notlp.LOCAL = otlp.REMOTE\n" + PROGRAM,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        )
    assert result.returncode == 0, result.stderr
    assert [name for _, _, body in collector.requests for name in decode_otlp(body)] == ["work 0", "work 1", "work 2"]
    sent = ExportTraceServiceRequest.FromString(collector.requests[0][2]).resource_spans[0].scope_spans[0].spans
    assert {span.flags for span in sent} == {0x100}
    warnings = [line for line in read_lines(tmp_path / "logs") if line["level"] == "warning"]
    assert [line["message"] for line in warnings] == [WARNING]
    assert result.stderr.count(WARNING) == 1


def test_a_plug_in_that_makes_the_session_is_the_librarys_to_use(caplog, monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "somebodys")
    assert proven() is None
    assert caplog.records == []
