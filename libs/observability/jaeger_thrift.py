"""Spans in Jaeger's own Thrift form; imported by `jaeger.exporter` only, which prepares for it."""

# The generated Thrift code has no types.
# pyright: basic

import socket
import warnings
from collections.abc import Iterator, Sequence

from opentelemetry.exporter.jaeger.thrift import JaegerExporter
from opentelemetry.exporter.jaeger.thrift.gen.agent import Agent
from opentelemetry.exporter.jaeger.thrift.gen.jaeger import Collector as jaeger
from opentelemetry.exporter.jaeger.thrift.send import Collector
from opentelemetry.exporter.jaeger.thrift.translate import ThriftTranslator, Translate, _translate_attribute
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from thrift.protocol import TCompactProtocol
from thrift.transport import TTransport

TIMEOUT_SECONDS = 2
PACKET_BYTES = 65_000
SHORT_TAG = 256


class JaegerThriftExporter(SpanExporter):
    """Sends to `OTEL_EXPORTER_JAEGER_ENDPOINT` over HTTP when that is set, else to the agent over UDP.

    Compared with the exporter it wraps: a refusal by the collector is a failure, a batch too large for a packet is
    split, the resource stands once in the process instead of in each span.
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
    tags = [_translate_attribute(key, value, None) for key, value in resource.items() if key != SERVICE_NAME]
    process = jaeger.Process(serviceName=str(resource.get(SERVICE_NAME)), tags=[tag for tag in tags if tag])
    translated = Translate(spans)._translate(ThriftTranslator(None))
    for span in translated:
        # Jaeger reads bit 2 as "debug", which the SDK sets for "random trace id".
        span.flags &= 1
        span.logs = span.logs or []
        span.tags = [tag for tag in span.tags if tag.key not in resource and not _is_empty(tag)]
    return process, translated


def _is_empty(tag: jaeger.Tag) -> bool:
    """A library without a version gives a tag without a value, which a strict reader refuses."""
    return tag.vType == jaeger.TagType.STRING and tag.vStr is None
