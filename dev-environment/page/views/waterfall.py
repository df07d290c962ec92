"""One trace: a bar for each span across services and events, which unfolds its attributes and its log lines."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from nicegui import ui
from stack.services import SERVICES
from stack.watch.logs import Line
from stack.watch.traces import Event, Span
from stack.watch.tree import Placed, tree

from page import words
from page.reading.store import Store
from page.views.frame import copy_button, frame, heading, text
from page.views.rows import Detail, Row, Rows, column

KINDS = {2: "server", 3: "client", 4: "producer", 5: "consumer"}
COLOURS = {each.name: f"s{number}" for number, each in enumerate(SERVICES)}
STACK = "exception.stacktrace"
DEEPEST = 24
MOST_SPANS = 2000
SECONDS_TO_BE_WRITTEN = 5.0
# What is not in memory is sought in all files.
SECONDS_TO_BE_FOUND = 60.0
MOST_LINES = 100
COLUMNS = [column("Span", "wide cut"), column("Took", "tight num"), column("", "fixed-bar")]


def add(store: Store) -> None:
    """Add the view."""

    @ui.page("/trace/{trace_id}", response_timeout=SECONDS_TO_BE_FOUND)
    async def waterfall(trace_id: str) -> None:
        drawing = _Drawing(store, trace_id.lower())
        await drawing.read()
        with frame("Traces", f"Trace {trace_id[:8]}"):
            drawing.draw()
        if drawing.is_recent:
            follow = ui.timer(1.0, drawing.update)
            ui.timer(SECONDS_TO_BE_WRITTEN, follow.deactivate, once=True)


class _Drawing:
    """The page of one trace, which remembers what is open in it."""

    def __init__(self, store: Store, trace_id: str) -> None:
        self._store, self._trace_id = store, trace_id
        self._open: set[str] = set()

    async def read(self) -> None:
        """Read what is recorded by now."""
        self._count = self._store.traces.count(self._trace_id)
        spans = await self._store.traces.spans(self._trace_id, MOST_SPANS)
        lines = await self._store.lines.of_trace(self._trace_id)
        self._placed: dict[str, Placed] = {}
        times = Counter[str]()
        for each in tree(spans):
            times[each.span.span_id] += 1
            self._placed[f"{each.span.span_id} {times[each.span.span_id]}"] = each
        self._began = min((each.start for each in spans), default=0)
        self._ended = max((each.end for each in spans), default=0)
        self._logged: dict[str, list[Line]] = {}
        for line in lines:
            span_id = str(line.get("span_id", ""))
            self._logged.setdefault(span_id if span_id in times else "", []).append(line)

    @property
    def is_recent(self) -> bool:
        """Whether more of it may be written."""
        return not self._placed or time.time() - self._ended / 1e9 < SECONDS_TO_BE_WRITTEN

    def draw(self) -> None:
        if not self._placed:
            heading("This trace is not here", 1)
            missing = f"No span of {self._trace_id[:64]} is recorded: spans are written a second after they end."
            text(missing, "empty", "p")
            return
        newer, older = self._store.traces.neighbours(self._trace_id)
        with ui.element("div").classes("head"):
            self._heading = heading(self._name(), 1)
            ui.element("div").classes("grow")
            for name, trace_id, relation in (("Newer", newer, "prev"), ("Older", older, "next")):
                if trace_id:
                    with ui.element("a").props(f'rel="{relation}" href="/trace/{quote(trace_id)}"').classes("link"):
                        text(name)
            copy_button("Copy id", f"'{quote(self._trace_id)}'")
            copy_button("Copy link", "location.href")
        with ui.element("dl").classes("facts"):
            self._values = {name: _fact(name, value) for name, value in self._facts()}
        self._rows = Rows("spans", COLUMNS, self._listed(), "", on_open=self._toggle)
        with ui.element("section") as self._outside:
            heading("Log lines outside its recorded spans")
            columns = [column("Line", "wide"), column("Service", "tight")]
            self._left_over = Rows("log lines outside the spans", columns, self._left_over_rows(), "")
        self._outside.set_visibility("" in self._logged)

    async def update(self) -> None:
        """Show what more is written, and leave open what is."""
        if self._store.traces.count(self._trace_id) == self._count:
            return
        if not self._placed:
            ui.navigate.reload()
            return
        await self.read()
        self._heading.text = self._name()
        for name, value in self._facts():
            self._values[name].text = value
        self._rows.show(self._listed())
        self._left_over.show(self._left_over_rows())
        self._outside.set_visibility("" in self._logged)

    def _name(self) -> str:
        return str(words.harmless(next(iter(self._placed.values())).span.name))

    def _left_over_rows(self) -> list[Row]:
        return [
            {
                "id": str(number),
                "cells": [
                    {"text": said(line), "note": time_of_day(line), "tags": [_level(line)]},
                    {"text": str(line.get("service"))},
                ],
            }
            for number, line in enumerate(self._logged.get("", [])[:MOST_LINES])
        ]

    def _facts(self) -> Iterator[tuple[str, str]]:
        spans = [each.span for each in self._placed.values()]
        yield "Trace", self._trace_id
        yield "Started", words.clock(self._began / 1e9, exact=True)
        yield "Took", words.duration((self._ended - self._began) / 1e9)
        yield "Spans", f"{len(spans)} or more" if len(spans) == MOST_SPANS else str(len(spans))
        yield "Services", str(len({each.service for each in spans}))
        yield "Log lines", str(sum(len(each) for each in self._logged.values()))
        yield "Failed", str(sum(each.has_failed for each in spans))

    def _toggle(self, row_id: str) -> None:
        self._open ^= {row_id}
        self._rows.show(self._listed())

    def _listed(self) -> list[Row]:
        return [self._row(row_id, each) for row_id, each in self._placed.items()]

    def _row(self, row_id: str, placed: Placed) -> Row:
        span = placed.span
        lines = self._logged.get(span.span_id, [])
        tags = [("failed", "bad")] if span.has_failed else []
        if reason := span.reason or span.attributes.get("error.type"):
            tags.append((str(reason)[:80], "bad" if span.has_failed else "warn"))
        if placed.note:
            tags.append((placed.note, "warn"))
        if lines:
            tags.append((f"{len(lines)} line{'s' * (len(lines) > 1)}", ""))
        taken = (span.end - span.start) / 1e9
        return {
            "id": row_id,
            "opens": True,
            "label": f"{span.service}: {span.name}, {words.duration(taken)}",
            "class_": f"span {colour(span.service)}",
            "cells": [
                {
                    "text": span.name,
                    "note": span.service,
                    "dot": colour(span.service),
                    "tags": tags,
                    "depth": min(placed.depth, DEEPEST),
                },
                {"text": words.duration(taken)},
                {"bar": (*self._position(span), "bad" if span.has_failed else colour(span.service))},
            ],
            "detail": detail(span, lines) if row_id in self._open else None,
        }

    def _position(self, span: Span) -> tuple[float, float]:
        whole = max(self._ended - self._began, 1)
        left = min((span.start - self._began) / whole * 100, 99.8)
        return left, min(max(span.end - span.start, 0) / whole * 100, 100 - left)


def _fact(name: str, value: str) -> ui.label:
    with ui.element("div"):
        text(name, tag="dt")
        return text(value, tag="dd")


def detail(span: Span, lines: Sequence[Line]) -> Detail:
    """What a span unfolds."""
    logged = [
        (_level(line)[0], f"{time_of_day(line)}  {said(line)}", f"/logs?trace={quote(span.trace_id)}")
        for line in lines[:MOST_LINES]
    ]
    stacks = [stack for line in lines if (stack := stack_of(line))]
    stacks += [str(each.attributes[STACK]) for each in span.events if STACK in each.attributes]
    fields = [
        ("service", span.service),
        ("kind", KINDS.get(span.kind, "internal")),
        ("span", span.span_id),
        ("parent", span.parent_id or words.NOTHING),
        ("started", words.clock(span.start / 1e9, exact=True)),
        *((name, str(value)) for name, value in span.attributes.items()),
        *((each.name, _happened(each)) for each in span.events),
    ]
    unfolded: Detail = {"fields": fields}
    if logged:
        unfolded["lines"] = logged
    if stacks:
        unfolded["stack"] = "\n".join(dict.fromkeys(stacks))  # a line and a span may tell of the same error
    if span.links:
        unfolded["links"] = [
            (f"The trace {each.trace_id[:8]}, which it names", f"/trace/{quote(each.trace_id)}") for each in span.links
        ]
    return unfolded


def _happened(event: Event) -> str:
    said = (f"{name}={value}" for name, value in event.attributes.items() if name != STACK)
    return "  ".join((words.clock(event.time / 1e9, exact=True), *said))


def said(line: Line) -> str:
    """A log line in one sentence: what it says, and what was measured."""
    measured = line.get("http")
    http: Mapping[str, Any] = measured if isinstance(measured, dict) else {}
    request = " ".join(str(http[name]) for name in ("method", "path", "status_code") if name in http)
    took = f"{line['duration_ms']} ms" if "duration_ms" in line else ""
    return "  ".join(part for part in (str(line.get("message", "")), request, took) if part)


def time_of_day(line: Line) -> str:
    """When a log line was written, in UTC as it says."""
    return str(line.get("timestamp", ""))[11:23] or words.NOTHING


def stack_of(line: Line) -> str:
    """The stack of the error that a line tells of, or nothing."""
    error = line.get("error")
    return str(error.get("stack") or "") if isinstance(error, dict) else ""


def _level(line: Line) -> tuple[str, str]:
    level = str(line.get("level", ""))
    return level, level


def colour(service: str) -> str:
    """The class of a service's colour; the name beside it says the same."""
    return COLOURS.get(service, "s5")
