"""Spans in Jaeger's own Thrift form; imported by `jaeger.exporter` only, which prepares for it."""

# The generated Thrift code has no types.
# pyright: basic

import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.jaeger.thrift import JaegerExporter
from opentelemetry.exporter.jaeger.thrift.gen.agent import Agent
from opentelemetry.exporter.jaeger.thrift.gen.jaeger import Collector as jaeger
from opentelemetry.exporter.jaeger.thrift.send import Collector
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from thrift.protocol import TCompactProtocol
from thrift.transport import TTransport

TIMEOUT_SECONDS = 2
PACKET_BYTES = 65_000
SHORT_TAG = 256


class JaegerThriftExporter(SpanExporter):
    """Sends to `OTEL_EXPORTER_JAEGER_ENDPOINT` over HTTP when that is set, else to the agent over UDP.

    The settings, the clients and Jaeger's types are those of the exporter it wraps; the translation is our own. So a refusal by
    the collector is a failure, a batch too large for a packet is split, and the resource is sent once for all its spans.
    """

    def __init__(self, agent_host: str | None = None, agent_port: int | None = None) -> None:
        """Without a host the exporter's own variables and defaults decide."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._settings = JaegerExporter(agent_host_name=agent_host, agent_port=agent_port, timeout=TIMEOUT_SECONDS)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        process, translated = _translated(spans)
        if endpoint := self._settings.collector_endpoint:
            return self._post(endpoint, jaeger.Batch(process=process, spans=translated))
        self._send(process, translated)
        return SpanExportResult.SUCCESS

    def _post(self, endpoint: str, batch: jaeger.Batch) -> SpanExportResult:
        given = self._settings
        auth = (given.username, given.password) if given.username and given.password else None
        # One for each batch: after a failure it would send its old bytes again.
        collector = Collector(endpoint, auth, TIMEOUT_SECONDS * 1000)
        transport = collector.http_transport
        if transport.using_proxy():  # which is for the web
            transport.host, transport.port, transport.realhost = transport.realhost, transport.realport, None
        try:
            collector.submit(batch)
            accepted = 200 <= collector.http_transport.code < 300
        finally:
            collector.http_transport.close()
        return SpanExportResult.SUCCESS if accepted else SpanExportResult.FAILURE

    def _send(self, process: jaeger.Process, spans: list[jaeger.Span]) -> None:
        host, port = self._settings.agent_host_name, self._settings.agent_port
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as udp:
            for packet in packets(process, spans):
                udp.sendto(packet, address)

    def shutdown(self) -> None:
        """Nothing is kept open between batches."""


def packets(process: jaeger.Process, spans: list[jaeger.Span]) -> Iterator[bytes]:
    """`emitBatch` calls in the compact protocol, each small enough for one UDP packet."""
    buffer = TTransport.TMemoryBuffer()
    Agent.Client(TCompactProtocol.TCompactProtocol(buffer)).emitBatch(jaeger.Batch(process=process, spans=spans))
    packet = buffer.getvalue()
    if len(packet) <= PACKET_BYTES:
        yield packet
    elif len(spans) > 1:
        middle = len(spans) // 2
        yield from packets(process, spans[:middle])
        yield from packets(process, spans[middle:])
    elif _shorten(spans[0]):
        yield from packets(process, spans)


def _shorten(span: jaeger.Span) -> bool:
    """Makes a span that alone exceeds a packet fit: no logs, short tags. False when that was done before."""
    if span.logs is None:
        return False
    span.logs = None
    for tag in span.tags or ():
        if tag.vStr:
            tag.vStr = tag.vStr[:SHORT_TAG]
    return True


def _translated(spans: Sequence[ReadableSpan]) -> tuple[jaeger.Process, list[jaeger.Span]]:
    resource = spans[0].resource.attributes
    process = jaeger.Process(
        serviceName=str(resource.get(SERVICE_NAME)),
        tags=_tags({key: value for key, value in resource.items() if key != SERVICE_NAME}),
    )
    return process, [_translate(span) for span in spans]


def _translate(span: ReadableSpan) -> jaeger.Span:
    context, parent = span.context, span.parent
    assert context is not None
    start, end = span.start_time or 0, span.end_time or 0
    return jaeger.Span(
        **_trace_id(context.trace_id),
        spanId=_signed(context.span_id),
        parentSpanId=_signed(parent.span_id) if parent else 0,
        operationName=span.name,
        # Jaeger reads bit 2 as "debug", which the SDK sets for "random trace id".
        flags=context.trace_flags & 1,
        startTime=_microseconds(start),
        duration=_microseconds(end - start),
        tags=_tags({**(span.attributes or {}), **_described(span)}),
        logs=[
            jaeger.Log(_microseconds(event.timestamp), _tags({**(event.attributes or {}), "message": event.name}))
            for event in span.events
        ],
        references=[
            jaeger.SpanRef(
                refType=jaeger.SpanRefType.FOLLOWS_FROM,
                **_trace_id(link.context.trace_id),
                spanId=_signed(link.context.span_id),
            )
            for link in span.links
        ],
    )


def _described(span: ReadableSpan) -> dict[str, Any]:
    """What Jaeger knows as tags, under the names of OpenTelemetry's mapping to Jaeger. None stands for nothing."""
    scope, status = span.instrumentation_scope, span.status
    has_status = status.status_code is not StatusCode.UNSET
    return {
        "span.kind": span.kind.name.lower(),
        "otel.library.name": scope and scope.name,
        "otel.library.version": (scope and scope.version) or None,
        "otel.scope.name": scope and scope.name,
        "otel.scope.version": (scope and scope.version) or None,
        "otel.status_code": status.status_code.name if has_status else None,
        "otel.status_description": status.description,
        "error": None if status.is_ok else True,
        "otel.dropped_attributes_count": span.dropped_attributes or None,
        "otel.dropped_events_count": span.dropped_events or None,
        "otel.dropped_links_count": span.dropped_links or None,
    }


def _tags(values: Mapping[str, Any]) -> list[jaeger.Tag]:
    return [_tag(key, value) for key, value in values.items() if value is not None]


def _tag(key: str, value: Any) -> jaeger.Tag:
    match value:
        case bool():
            return jaeger.Tag(key=key, vType=jaeger.TagType.BOOL, vBool=value)
        case int():
            return jaeger.Tag(key=key, vType=jaeger.TagType.LONG, vLong=value)
        case float():
            return jaeger.Tag(key=key, vType=jaeger.TagType.DOUBLE, vDouble=value)
        case _:
            return jaeger.Tag(key=key, vType=jaeger.TagType.STRING, vStr=str(value))


def _trace_id(trace_id: int) -> dict[str, int]:
    return {"traceIdHigh": _signed(trace_id >> 64), "traceIdLow": _signed(trace_id & 0xFFFF_FFFF_FFFF_FFFF)}


def _signed(number: int) -> int:
    """Thrift has no unsigned numbers."""
    return number - 2**64 if number >= 2**63 else number


def _microseconds(nanoseconds: int) -> int:
    return (nanoseconds + 500) // 1000
