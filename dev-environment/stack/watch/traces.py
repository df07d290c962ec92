"""Spans from the files that the services write, in which each line is one OTLP-JSON export request."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from libs.journey import PROBES_USER_AGENT
from libs.observability.files import rotated
from stack.watch.tail import lines_with, shallow

SERVER = 2
FAILED = 2
# What is raised by a line that was cut off by a full disk or a kill, or is no export request at all.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
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

    @property
    def seconds(self) -> float:
        """How long it took; a clock that was set back in the meantime makes it no less than nothing."""
        return max(0, self.end - self.start) / 1e9


def of_trace(folders: Sequence[Path], prefix: str) -> dict[str, list[Span]]:
    """The spans of every trace whose id begins with `prefix`, by trace id."""
    found: dict[str, list[Span]] = {}
    for span in recorded(folders, prefix):
        found.setdefault(span.trace_id, []).append(span)
    return found


def recorded(folders: Sequence[Path], prefix: str) -> Iterator[Span]:
    """The spans of all traces whose id begins with `prefix`, as they come in the files."""
    spans = of_lines(line for folder in folders for line in lines_with(folder / "spans.jsonl", prefix.encode()))
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
    for resource in request.get("resourceSpans", ()):
        service = _attributes(resource.get("resource", {})).get("service.name", "?")
        for scope in resource.get("scopeSpans", ()):
            yield from (_span(str(service), span) for span in scope.get("spans", ()))


def of_lines(lines: Iterable[str | bytes]) -> Iterator[Span]:
    """The spans of raw lines; of a line that is none, or not to its end, what comes before."""
    for line in lines:
        with suppress(*MALFORMED):
            yield from of_request(orjson.loads(line if isinstance(line, str) else line.decode(errors="replace")))


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
        start=_time(span["startTimeUnixNano"]),
        end=_time(span["endTimeUnixNano"]),
        has_failed=status.get("code") == FAILED,
        reason=str(status.get("message", "")),
        attributes=_attributes(span),
        events=tuple(
            Event(_time(each["timeUnixNano"]), str(each.get("name", "")), _attributes(each))
            for each in span.get("events", ())
        ),
        links=tuple(Link(str(each["traceId"]), str(each["spanId"])) for each in span.get("links", ())),
    )


def _time(nanoseconds: str) -> int:
    time = int(nanoseconds)
    if not 0 <= time < 2**64:  # what OTLP can hold: until the year 2554
        raise ValueError
    return time


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return shallow({each["key"]: next(iter(each["value"].values()), None) for each in holder.get("attributes", ())})
