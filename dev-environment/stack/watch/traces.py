"""Spans from the files that the services write, in which each line is one OTLP-JSON export request."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.journey import PROBES_USER_AGENT
from libs.observability.files import rotated

SERVER = 2
FAILED = 2
# The newest trace is searched for in the last part of each file only.
RECENT_BYTES = 4_000_000


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


def of_trace(folders: Sequence[Path], prefix: str) -> dict[str, list[Span]]:
    """The spans of every trace whose id begins with `prefix`, by trace id."""
    found: dict[str, list[Span]] = {}
    for span in _spans(raw for folder in folders for raw in _raw_lines(folder) if prefix in raw):
        if span.trace_id.startswith(prefix):
            found.setdefault(span.trace_id, []).append(span)
    return found


def newest(folders: Sequence[Path]) -> str | None:
    """The id of the last trace that began with a request from outside, but for the probe's, or None."""
    recent = list(_spans(raw for folder in folders for raw in _recent_raw_lines(folder)))
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


def _spans(raw_lines: Iterable[str]) -> Iterator[Span]:
    for raw in raw_lines:
        try:
            request = json.loads(raw)
        except ValueError:  # the first line of a part of a file, or one cut off by a full disk
            continue
        yield from of_request(request)


def _span(service: str, span: dict[str, Any]) -> Span:
    status = span.get("status", {})
    return Span(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        service=service,
        name=span.get("name", ""),
        kind=span.get("kind", 0),
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        has_failed=status.get("code") == FAILED,
        reason=status.get("message", ""),
        attributes=_attributes(span),
    )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values()), None) for each in holder.get("attributes", ())}
