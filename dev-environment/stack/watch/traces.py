"""Spans from the files that the services write, in which each line is one OTLP-JSON export request."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from libs.journey import PROBES_USER_AGENT
from libs.observability.files import rotated

SERVER = 2
FAILED = 2
# What reading raises of a line that was cut off by a full disk or a kill, or is no export request at all.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
# The newest trace is searched for in the last part of each file only.
RECENT_BYTES = 4_000_000


@dataclass(frozen=True)
class Event:
    """What happened during a span: an exception."""

    time: int
    name: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Link:
    """Another span that a span names, such as the one that published an event long ago."""

    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Span:
    """What drawing needs of a span; times in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: int
    start: int
    end: int
    has_failed: bool
    reason: str
    attributes: dict[str, Any]
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()


def of_trace(folders: Sequence[Path], prefix: str) -> dict[str, list[Span]]:
    """The spans of every trace whose id begins with `prefix`, by trace id."""
    found: dict[str, list[Span]] = {}
    for span in recorded(folders, prefix):
        found.setdefault(span.trace_id, []).append(span)
    return found


def recorded(folders: Sequence[Path], prefix: str) -> Iterator[Span]:
    """The spans of all traces whose id begins with `prefix`, as they come in the files."""
    spans = of_lines(raw for folder in folders for raw in _raw_lines(folder) if prefix in raw)
    return (span for span in spans if span.trace_id.startswith(prefix))


def newest(folders: Sequence[Path]) -> str | None:
    """The id of the last trace that began with a request from outside, but for the probe's, or None."""
    recent = list(of_lines(raw for folder in folders for raw in _recent_raw_lines(folder)))
    known = {span.span_id for span in recent}
    # A caller outside may be traced too; its span is in none of these files.
    roots = [
        span
        for span in recent
        if span.parent_id not in known
        and span.kind == SERVER
        and span.attributes.get("user_agent.original") != PROBES_USER_AGENT
    ]
    return max(roots, key=lambda span: span.start).trace_id if roots else None


def of_request(request: dict[str, Any]) -> Iterator[Span]:
    """The spans of one OTLP-JSON export request; Jaeger's answers have the same shape."""
    for service, span in raw_spans(request):
        yield _span(service, span)


def of_lines(lines: Iterable[str | bytes]) -> Iterator[Span]:
    """The spans of raw lines; of a line that is none, or not to its end, what comes before."""
    for line in lines:
        with suppress(*MALFORMED):
            yield from of_request(request_of(line))


def request_of(line: str | bytes) -> Any:
    """What should be an export request; one of `MALFORMED` is raised for what is not even JSON."""
    return orjson.loads(line if isinstance(line, str) else line.decode(errors="replace"))


def raw_spans(request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each span as it is in the request, with its service."""
    for resource in request.get("resourceSpans", ()):
        service = attributes_of(resource.get("resource", {})).get("service.name", "?")
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield str(service), span


def attributes_of(holder: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a resource, a span or an event; whole numbers are text, as OTLP writes them."""
    return {each["key"]: next(iter(each["value"].values()), None) for each in holder.get("attributes", ())}


def _raw_lines(folder: Path) -> Iterator[str]:
    path = folder / "spans.jsonl"
    for file in [*rotated(path), path]:
        if file.exists():
            with file.open(encoding="utf-8", errors="replace") as opened:
                yield from opened


def _recent_raw_lines(folder: Path) -> Iterator[str]:
    path = folder / "spans.jsonl"
    for file in [*rotated(path)[-1:], path]:
        if file.exists():
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - RECENT_BYTES))
                yield from opened.read().decode(errors="replace").split("\n")


def _span(service: str, span: dict[str, Any]) -> Span:
    status = span.get("status", {})
    return Span(
        trace_id=str(span["traceId"]),
        span_id=str(span["spanId"]),
        parent_id=str(span.get("parentSpanId", "")),
        service=service,
        name=str(span.get("name", "")),
        kind=int(span.get("kind", 0)),
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        has_failed=status.get("code") == FAILED,
        reason=str(status.get("message", "")),
        attributes=attributes_of(span),
        events=tuple(
            Event(int(each["timeUnixNano"]), str(each.get("name", "")), attributes_of(each))
            for each in span.get("events", ())
        ),
        links=tuple(Link(str(each["traceId"]), str(each["spanId"])) for each in span.get("links", ())),
    )
