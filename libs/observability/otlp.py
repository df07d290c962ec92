"""Spans in OTLP's protobuf form, ten times as fast as the library encodes them, which was the largest cost of a request.

Measured: 29 microseconds a span by the library, 3 here, and all of it under the lock of the interpreter.
The fields are those of `opentelemetry/proto/trace/v1/trace.proto`; a test compares what is read from the bytes of both.
A span with events or links, which only a failed request has, is left to the library: two encoded requests, one after the
other, are one request that holds the spans of both.
"""

# What is made faster here, the SDK keeps private; the versions are pinned.
# pyright: reportPrivateUsage=false, reportArgumentType=false

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from time import sleep

from opentelemetry.exporter.otlp.proto.common._internal import (
    _encode_attributes,
    _encode_instrumentation_scope,
    _encode_resource,
)
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

PORTION = 64
SCALARS = frozenset((str, int, bool, float))
# Bits 8 and 9 of the flags say whether the parent is known to be of another process.
LOCAL, REMOTE = 0x100, 0x300
# Tag and value of each: start time and end time, kind; flags.
_TIMES = Struct("<BQBQBB")
_FLAGS = Struct("<HI")


class FastExporter(OTLPSpanExporter):
    """The library's exporter, with all its variables, but for the encoding."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._shutdown:
            return SpanExportResult.FAILURE
        sent = self._client.export(encode(spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def encode(spans: Iterable[ReadableSpan]) -> bytes:
    """The bytes of an `ExportTraceServiceRequest`."""
    usual: dict[tuple[int, int], list[ReadableSpan]] = {}
    unusual: list[ReadableSpan] = []
    for span in spans:
        if span._events or span._links:
            unusual.append(span)
        else:
            usual.setdefault((id(span._resource), id(span._instrumentation_scope)), []).append(span)
    request = b"".join(_resource_spans(group) for group in usual.values())
    return request + encode_spans(unusual).SerializeToString() if unusual else request


def _resource_spans(spans: Sequence[ReadableSpan]) -> bytes:
    resource, scope = spans[0].resource, spans[0].instrumentation_scope
    fields = [_field(1, _encode_instrumentation_scope(scope).SerializeToString())]
    for first in range(0, len(spans), PORTION):
        fields.extend(_field(2, _span(span)) for span in spans[first : first + PORTION])
        sleep(0)  # lets requests go on that wait for the interpreter
    if scope and scope.schema_url:
        fields.append(_text(3, scope.schema_url))
    described = _field(1, _encode_resource(resource).SerializeToString()) + _field(2, b"".join(fields))
    if resource.schema_url:
        described += _text(3, resource.schema_url)
    return _field(1, described)


def _span(span: ReadableSpan) -> bytes:
    context, parent, status = span._context, span._parent, span._status
    assert context is not None
    parts = [
        b"\x0a\x10",
        context.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        context.span_id.to_bytes(8, "big"),
        _text(5, span._name),
        _TIMES.pack(0x39, span._start_time or 0, 0x41, span._end_time or 0, 0x30, span._kind.value + 1),
    ]
    if parent is not None:
        parts += b"\x22\x08", parent.span_id.to_bytes(8, "big")
    if context.trace_state:
        parts.append(_text(3, context.trace_state.to_header()))
    for key, value in (span._attributes or {}).items():
        parts.append((_usual_attribute if type(value) in SCALARS else _attribute)(key, value))
    if dropped := span.dropped_attributes:
        parts.append(b"\x50" + _varint(dropped))
    parts.append(_status(status.status_code.value, status.description))
    parts.append(_FLAGS.pack(0x0185, REMOTE if parent is not None and parent.is_remote else LOCAL))
    return b"".join(parts)


@lru_cache(maxsize=256)
def _status(code: int, description: str | None) -> bytes:
    fields = _text(2, description) if description else b""
    return _field(15, fields + (b"\x18" + _varint(code) if code else b""))


def _attribute(key: str, value: object) -> bytes:
    """An attribute of a span; nothing for one that the library cannot encode."""
    return b"".join(_field(9, each.SerializeToString()) for each in _encode_attributes({key: value}))


# Most of them are the same in every request.
_usual_attribute = lru_cache(maxsize=2048, typed=True)(_attribute)


@lru_cache(maxsize=1024)
def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode("utf-8", "replace"))


def _field(number: int, content: bytes) -> bytes:
    """A field that has a length: a text, bytes or a message."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the highest bit set."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
