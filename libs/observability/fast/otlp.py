"""Spans in OTLP's protobuf form, many times as fast as the library encodes them, which is the largest cost of a request.

Measured: 29 microseconds a span by the library, 1.1 here. A span is encoded as it ends, while the processor's caches hold
it; until its batch is sent its bytes wait, which are a fraction of the span. Each tag names its field in
`opentelemetry/proto/trace/v1/trace.proto`; `sender.proven` compares what is read from the bytes of both encoders.
A span with events, links or unusual attributes, which only a failed request has, is left to the library: two encoded
requests, one after the other, are one request that holds the spans of both.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import cast

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from ..traces.attributes import Shared
from ..traces.provider import FLAGS
from ..traces.spans import NO_STATE, UNSET, Origin, Span

# A tag is the field's number and the kind of its value: 0 varint, 1 eight bytes, 2 a length and bytes, 5 four bytes.
TRACE_ID, SPAN_ID, PARENT_SPAN_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"  # 1, 2 and 4, with their lengths
STATE, NAME, ATTRIBUTES, STATUS = b"\x1a", b"\x2a", b"\x4a", b"\x7a"  # 3, 5, 9, 15
KIND, FLAG_BITS = b"\x30", b"\x85\x01"  # 6, 16
TIMES = Struct("<BQBQ")  # start_time_unix_nano and end_time_unix_nano, each behind its tag
START, END = 0x39, 0x41  # 7, 8
# By identity, since an enumeration member computes its hash in Python.
KINDS = {id(kind): KIND + bytes((kind.value + 1,)) for kind in SpanKind}
# Bits 8 and 9 of the flags say whether the parent is known to be of another process.
LOCAL, REMOTE = FLAG_BITS + b"\x00\x01\x00\x00", FLAG_BITS + b"\x00\x03\x00\x00"
# Of `Status`, `KeyValue` and `AnyValue`.
MESSAGE, CODE, KEY, VALUE = b"\x12", b"\x18", b"\x0a", b"\x12"
STRING, BOOL, INT, DOUBLE = b"\x0a", b"\x10", b"\x18", Struct("<Bd")
# Of `ScopeSpans` and `ResourceSpans`, and of the request.
SCOPE, SPANS, RESOURCE, SCOPE_SPANS, SCHEMA_URL, RESOURCE_SPANS = b"\x0a", b"\x12", b"\x0a", b"\x12", b"\x1a", b"\x0a"
NO_STATUS = STATUS + b"\x00"

Encoded = tuple[Origin, bytes]
"""What a span belongs to, and the span itself as a field of `ScopeSpans`."""


def encode(span: Span) -> Encoded | ReadableSpan:
    """A span that has ended, encoded; as the SDK's, where the library has to encode it."""
    own, shared, parent, status = span.own, span.shared, span.parent, span.status
    if type(own) is not dict or span.events or span.links:
        return span.readable()
    parts = [
        TRACE_ID,
        span.trace_id.to_bytes(16, "big"),
        SPAN_ID,
        span.span_id.to_bytes(8, "big"),
        _string(NAME, span.name),
        TIMES.pack(START, span.start_time, END, span.end_time or 0),
        KINDS[id(span.kind)],
        NO_STATUS if status is UNSET else _status(status.status_code.value, status.description),
    ]
    if parent is None:
        parts.append(LOCAL)
    else:
        parts += REMOTE if parent.is_remote else LOCAL, PARENT_SPAN_ID, parent.span_id.to_bytes(8, "big")
    if span.state is not NO_STATE and span.state:
        parts.append(_string(STATE, span.state.to_header()))
    if shared is not None:
        parts.append(shared.encoded or _encode_shared(shared))
    for key, value in own.items():
        parts.append(_attribute(key, value))
    return span.origin, _field(SPANS, b"".join(parts))


def join(encoded: Iterable[Encoded | ReadableSpan]) -> bytes:
    """The bytes of an `ExportTraceServiceRequest`."""
    groups: dict[Origin, list[bytes]] = defaultdict(list)
    unusual: list[ReadableSpan] = []
    for each in encoded:
        if type(each) is tuple:
            groups[each[0]].append(each[1])
        else:
            unusual.append(cast("ReadableSpan", each))
    request = b"".join([_resource_spans(origin, spans) for origin, spans in groups.items()])
    return request + encode_spans(unusual).SerializeToString() if unusual else request


def _resource_spans(origin: Origin, spans: list[bytes]) -> bytes:
    """Spans of one tracer, with the resource and the scope as the library encodes them for a span of its own."""
    sample = Span("", SpanKind.INTERNAL, 1, 1, FLAGS[1], 0, origin).readable()
    [described] = encode_spans([sample]).resource_spans
    [scope] = described.scope_spans
    fields = _field(SCOPE, scope.scope.SerializeToString()) + b"".join(spans)
    if scope.schema_url:
        fields += _string(SCHEMA_URL, scope.schema_url)
    content = _field(RESOURCE, described.resource.SerializeToString()) + _field(SCOPE_SPANS, fields)
    if described.schema_url:
        content += _string(SCHEMA_URL, described.schema_url)
    return _field(RESOURCE_SPANS, content)


def _encode_shared(shared: Shared) -> bytes:
    shared.encoded = b"".join([_attribute(key, value) for key, value in shared.items()])
    return shared.encoded


def _attribute(key: str, value: object) -> bytes:
    """An attribute whose value is plain."""
    if type(value) is str:
        content = value.encode("utf-8", "replace")
        return _before_string(key, len(content)) + content
    if type(value) is float:
        encoded = DOUBLE.pack(0x21, value)
    elif type(value) is bool:
        encoded = BOOL + _varint(value)
    else:
        assert type(value) is int
        if not -(2**63) <= value < 2**63:
            return b""  # the library too leaves out what no integer of protobuf can hold
        encoded = INT + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)  # a negative number as its two's complement
    return _field(ATTRIBUTES, _string(KEY, key) + _field(VALUE, encoded))


@lru_cache(maxsize=4096)
def _before_string(key: str, length: int) -> bytes:
    """All of an attribute but its value, which is a string of so many bytes."""
    value = STRING + _varint(length)
    pair = _string(KEY, key) + VALUE + _varint(len(value) + length) + value
    return ATTRIBUTES + _varint(len(pair) + length) + pair


@lru_cache(maxsize=256)
def _status(code: int, description: str | None) -> bytes:
    fields = _string(MESSAGE, description) if description else b""
    return _field(STATUS, fields + (CODE + _varint(code) if code else b""))


@lru_cache(maxsize=1024)
def _string(tag: bytes, string: str) -> bytes:
    return _field(tag, string.encode("utf-8", "replace"))


def _field(tag: bytes, content: bytes) -> bytes:
    """A field that has a length: a string, bytes or a message."""
    return tag + _varint(len(content)) + content


@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the highest bit set."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
