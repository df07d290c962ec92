"""Spans as files, for a stack without a trace store: one OTLP-JSON export request a line."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import orjson
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, format_span_id, format_trace_id

from ..files import RotatingFile

Json = dict[str, Any]

# Bits 8 and 9 of the flags say whether the parent (or the linked span) is known to be of another process.
HAS_IS_REMOTE, IS_REMOTE = 0x100, 0x200


class SpanFile(SpanExporter):
    """Appends each batch to `file` in the JSON form of the OTLP specification: ids in hex, times as decimal strings."""

    def __init__(self, file: RotatingFile) -> None:
        self._file = file

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lost = self._file.write(orjson.dumps(export_request(spans)) + b"\n")
        return SpanExportResult.FAILURE if lost else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Every batch is in the file already."""


def export_request(spans: Iterable[ReadableSpan]) -> Json:
    """An `ExportTraceServiceRequest`: spans by resource and by the library that made them."""
    resources: dict[int, Json] = {}
    scopes: dict[tuple[int, object], Json] = {}
    for span in spans:
        resource = resources.get(id(span.resource))
        if resource is None:
            described: Json = {"attributes": _attributes(span.resource.attributes)}
            resource = resources[id(span.resource)] = {"resource": described, "scopeSpans": []}
            resource["schemaUrl"] = span.resource.schema_url
        key = (id(span.resource), span.instrumentation_scope)
        scope = scopes.get(key)
        if scope is None:
            name = span.instrumentation_scope
            library = {"name": name.name, "version": name.version or ""} if name else {}
            scope = scopes[key] = {"scope": library, "spans": [], "schemaUrl": (name and name.schema_url) or ""}
            resource["scopeSpans"].append(scope)
        scope["spans"].append(_span(span))
    return {"resourceSpans": list(resources.values())}


def _span(span: ReadableSpan) -> Json:
    context = span.context
    assert context is not None
    flags = HAS_IS_REMOTE
    document: Json = {**_ids(context), "name": span.name, "kind": span.kind.value + 1}
    if span.parent is not None:
        document["parentSpanId"] = format_span_id(span.parent.span_id)
        flags |= IS_REMOTE if span.parent.is_remote else 0
    if context.trace_state:
        document["traceState"] = context.trace_state.to_header()
    document["flags"] = flags
    document["startTimeUnixNano"] = str(span.start_time or 0)
    document["endTimeUnixNano"] = str(span.end_time or 0)
    document["attributes"] = _attributes(span.attributes)
    if span.events:
        document["events"] = [_event(event) for event in span.events]
    if span.links:
        document["links"] = [_link(link) for link in span.links]
    status: Json = {"code": span.status.status_code.value}
    if span.status.description:
        status["message"] = span.status.description
    document["status"] = status
    return document


def _ids(context: SpanContext) -> Json:
    return {"traceId": format_trace_id(context.trace_id), "spanId": format_span_id(context.span_id)}


def _event(event: Event) -> Json:
    return {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": _attributes(event.attributes)}


def _link(link: Link) -> Json:
    flags = HAS_IS_REMOTE | (IS_REMOTE if link.context.is_remote else 0)
    return {**_ids(link.context), "attributes": _attributes(link.attributes), "flags": flags}


def _attributes(attributes: Mapping[str, Any] | None) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in (attributes or {}).items()]


def _value(value: Any) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            # orjson refuses half a surrogate pair, which a client can send.
            return {"stringValue": value.encode("utf-8", "replace").decode()}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(item) for item in cast("list[Any]", value)]}}
        case _:
            return {"stringValue": str(value)}
