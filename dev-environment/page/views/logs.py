"""The log lines as they are written: filtered by what the address names, each with its fields and its trace."""

from collections.abc import Sequence
from urllib.parse import quote

from fastapi import Request
from nicegui import ui
from stack.watch.logs import Line

from libs.observability.settings import LEVELS
from page import words
from page.reading.store import Store
from page.views.frame import SERVICE, Filter, Values, button, filters, frame, given, heading, text
from page.views.rows import Detail, Row, Rows, column
from page.views.waterfall import colour, said, stack_of, time_of_day

FILTERS = {
    "service": SERVICE,
    "level": Filter("Level", {"": "any"} | {level: f"{level} and above" for level in LEVELS}),
    "tenant": Filter("Tenant"),
    "user": Filter("User"),
    "trace": Filter("Trace"),
    "text": Filter("Text"),
}
MOST = 200
COLUMNS = [
    column("Time", "tight muted"),
    column("Line", "wide cut"),
    column("Level", "tight"),
    column("Service", "tight"),
    column("Trace", "tight mono"),
]
NONE_YET = "No line yet: play the story (g s), or make a request."
NONE_FITS = "No line of the last hour fits these filters."
TONES = {"error": "bad", "critical": "bad", "warning": ""}
# The row itself shows these.
SHOWN = ("timestamp", "level", "service", "message")


def add(store: Store) -> None:
    """Add the view."""

    @ui.page("/logs")
    def logs(request: Request) -> None:
        view = _Tail(store, given(request, FILTERS))
        with frame("Logs"):
            view.draw()
        ui.timer(1.0, view.update)


class _Tail:
    """The list of lines, which stands still while it is paused or a line is open."""

    def __init__(self, store: Store, values: Values) -> None:
        self._store, self._values = store, values
        self._is_paused = False
        self._open: set[str] = set()
        self._find()

    def draw(self) -> None:
        with ui.element("div").classes("head"):
            heading("Logs", 1)
            self._count = text(self._said(), "muted")
            ui.element("div").classes("grow")
            self._button = button("Pause", self._pause)
        filters(FILTERS, self._values, self._apply)
        self._rows = Rows("log lines, newest first", COLUMNS, self._listed(), self._empty(), on_open=self._toggle)

    def update(self) -> None:
        """Show what is new."""
        if not self._is_paused and not self._open and self._store.lines.last > self._newest:
            self._find(self._found, self._newest)
            self._show()

    def _apply(self, values: Values) -> None:
        self._values = values
        self._find()
        self._show()

    def _find(self, before: Sequence[tuple[int, Line]] = (), newest: int = 0) -> None:
        """Find the lines that fit and are newer than a number, besides those that were found before."""
        lines = self._store.lines
        found = [*before, *lines.find(**self._values, after=newest, limit=MOST)][-MOST:]
        self._found = [each for each in found if each[0] >= lines.first]
        self._open &= {str(number) for number, _ in self._found}
        self._newest = lines.last

    def _show(self) -> None:
        self._rows.show(self._listed(), self._empty())
        self._count.text = self._said()

    def _pause(self) -> None:
        self._is_paused = not self._is_paused
        self._button.props["aria-pressed"] = str(self._is_paused).lower()
        self._count.text = self._said()
        self.update()

    def _toggle(self, row_id: str) -> None:
        self._open ^= {row_id}
        self._show()

    def _listed(self) -> list[Row]:
        return [self._row(str(number), line) for number, line in reversed(self._found)]

    def _row(self, row_id: str, line: Line) -> Row:
        level, trace_id = str(line.get("level", "")), str(line.get("trace_id", ""))
        service = str(line.get("service", ""))
        return {
            "id": row_id,
            "opens": True,
            "label": f"{level} of {service}: {line.get('message')}",
            "class_": TONES.get(level, ""),
            "cells": [
                {"text": time_of_day(line)},
                {"text": said(line)},
                {"tags": [(level, level)] if level else []},
                {"text": service, "dot": colour(service)},
                {"text": trace_id[:8], "href": f"/trace/{quote(trace_id)}"} if trace_id else {},
            ],
            "detail": detail(line) if row_id in self._open else None,
        }

    def _said(self) -> str:
        skipped = self._store.lines.skipped
        left_out = f"; {skipped:,} lines were left out, since more was written than could be read"
        how = "paused" if self._is_paused else "standing still while a line is open" if self._open else "following"
        return f"{how}, the last {len(self._found)} that fit, the newest first" + left_out * bool(skipped)

    def _empty(self) -> str:
        return NONE_FITS if any(self._values.values()) else NONE_YET


def detail(line: Line) -> Detail:
    """What a line unfolds: its fields by their full names, and the stack of its error."""
    unfolded: Detail = {"fields": fields_of(line)}
    if stack := stack_of(line):
        unfolded["stack"] = stack
    if trace_id := str(line.get("trace_id", "")):
        unfolded["links"] = [
            ("Its trace", f"/trace/{quote(trace_id)}"),
            ("All lines of the trace", f"/logs?trace={quote(trace_id)}"),
        ]
    return unfolded


def fields_of(line: Line) -> list[tuple[str, str]]:
    """The fields, those within others by their path: `http.status_code`."""
    found: list[tuple[str, str]] = []
    waiting: list[tuple[str, object]] = list(reversed(line.items()))
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{name}.{inner}", each) for inner, each in reversed(value.items())]
        elif name not in SHOWN and name != "error.stack":
            found.append((name, words.NOTHING if value is None else str(value)))
    return [("timestamp", str(line.get("timestamp", ""))), *found]
