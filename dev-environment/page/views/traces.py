"""The list of traces: the newest first, filtered by what the address names."""

from collections.abc import Sequence
from urllib.parse import quote

from fastapi import Request
from nicegui import ui

from page import words
from page.reading.spans import Trace
from page.reading.store import Store
from page.views.frame import SERVICE, Filter, Values, filters, frame, given, heading, text
from page.views.rows import Row, Rows, column
from page.views.waterfall import colour

FILTERS = {
    "service": SERVICE,
    "route": Filter("Route"),
    "status": Filter("Status"),
    "ms": Filter("At least ms"),
    "failed": Filter("Outcome", {"": "any", "1": "failed"}),
    "text": Filter("Text"),
}
COLUMNS = [
    column("Request", "wide cut"),
    column("Service", "tight"),
    column("Status", "tight num"),
    column("Took", "tight num"),
    column("", "fixed-bar"),
    column("Spans", "tight num named"),
    column("Started", "tight num"),
]
NONE_YET = "No trace yet: play the story (g s), or make a request and wait a second."
NONE_FITS = "No trace of the last hour fits these filters."


def add(store: Store) -> None:
    """Add the view."""

    @ui.page("/traces")
    def traces(request: Request) -> None:
        values = given(request, FILTERS)

        def apply(chosen: Values) -> None:
            nonlocal values
            values = chosen
            update()

        def update() -> None:
            found = find(store, values)
            listed.show(rows(found), empty(values))
            count.text = said(store, found)

        with frame("Traces"):
            found = find(store, values)
            with ui.element("div").classes("head"):
                heading("Traces", 1)
                count = text(said(store, found), "muted")
            filters(FILTERS, values, apply)
            listed = Rows("traces, newest first", COLUMNS, rows(found), empty(values))
        ui.timer(1.0, update)


def find(store: Store, values: Values) -> list[Trace]:
    """The traces that fit."""
    return store.traces.find(
        service=values["service"],
        route=values["route"],
        status=values["status"],
        at_least=_milliseconds(values["ms"]) / 1000,
        only_failed=values["failed"] == "1",
        text=values["text"],
        limit=200,
    )


def rows(found: Sequence[Trace]) -> list[Row]:
    """A row for each trace; the bars compare how long they took."""
    longest = max((each.seconds for each in found), default=0.0) or 1.0
    return [_row(each, longest) for each in found]


def _row(each: Trace, longest: float) -> Row:
    tone = "bad" if each.has_failed else colour(each.service)
    status = "" if each.status is None else str(each.status)
    others = len(each.services) - 1
    return {
        "id": each.trace_id,
        "href": f"/trace/{quote(each.trace_id)}",
        "cells": [
            {
                "text": each.name,
                "note": f"and {others} more service{'s' * (others > 1)}" if others > 0 else "",
                "tags": [("failed", "bad")] if each.has_failed else [],
                "title": ", ".join(each.services),
            },
            {"text": each.service, "dot": colour(each.service)},
            {"tags": [(status, status_tone(each.status))] if status else []},
            {"text": words.duration(each.seconds)},
            {"bar": (0, each.seconds / longest * 100, tone)},
            {"text": str(each.spans)},
            {"text": words.clock(each.start)},
        ],
    }


def status_tone(status: int | None) -> str:
    """The class of a status: one that the service is to blame for, or the caller."""
    return "" if status is None or status < 400 else "warn" if status < 500 else "bad"


def said(store: Store, found: Sequence[Trace]) -> str:
    """How many there are, and whether any were left out."""
    return f"{len(found)} of the last hour, the newest first" + left_out(store)


def left_out(store: Store) -> str:
    """How much the list and the map lack, if they do."""
    skipped = f"; {store.traces.skipped:,} spans were left out, since more was written than could be read"
    return skipped * bool(store.traces.skipped)


def empty(values: Values) -> str:
    """What stands where no trace is."""
    return NONE_FITS if any(values.values()) else NONE_YET


def _milliseconds(value: str) -> float:
    try:
        return max(float(value), 0.0)
    except ValueError:
        return 0.0
