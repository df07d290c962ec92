"""The map: who calls whom, how often, how well and how fast, as the spans of the last five minutes tell it."""

import math
from collections.abc import Sequence
from typing import Any

from nicegui import ui
from stack.services import SERVICES

from page import words
from page.reading.spans import OUTSIDE, Edge
from page.reading.store import Store
from page.views.charts import FAINT, FONT, GREY, PALETTE
from page.views.frame import frame, heading, text
from page.views.rows import Row, Rows, column
from page.views.traces import left_out

SECONDS = 300
COLOURS = {"http": PALETTE[0], "event": PALETTE[1], "database": GREY}
BAD = "#d84a4f"
RADIUS = 100
COLUMNS = [
    column("Caller"),
    column("Callee"),
    column("By", "tight"),
    *(column(title, "tight num named") for title in ("Requests", "Errors", "p95")),
]
WHAT = "who has called whom in the last five minutes: calls blue, events orange, databases grey, errors red"
NONE_YET = "Nobody has called anybody in the last five minutes: play the story (g s)."


def add(store: Store) -> None:
    """Add the view."""

    @ui.page("/map")
    def service_map() -> None:
        before: list[Edge] = []

        def update() -> None:
            nonlocal before
            told.text = WHAT + left_out(store)
            edges = store.traces.edges(SECONDS)
            if edges != before:
                before = edges
                chart.options["series"][0] |= drawn(edges)
                chart.update()
                listed.show(rows(edges))

        with frame("Map"):
            with ui.element("div").classes("head"):
                heading("Map", 1)
                told = text(WHAT, "muted")
            with ui.element("section").classes("chart map"):
                chart = ui.echart(options(), renderer="svg")
                chart.props["role"] = "img"
                chart.props["aria-label"] = "who calls whom; the table below says the same"
            heading("Calls")
            listed = Rows("calls", COLUMNS, [], NONE_YET)
            update()
        ui.timer(1.0, update)


def options() -> dict[str, Any]:
    """The options of ECharts, before there is an edge."""
    text_style = {"fontFamily": FONT, "fontSize": 12, "color": GREY}
    series = {
        "type": "graph",
        "layout": "none",
        "roam": False,
        "preserveAspect": "contain",
        "left": 130,
        "right": 130,
        "top": 40,
        "bottom": 40,
        "symbol": "circle",
        "edgeSymbol": ["none", "arrow"],
        "edgeSymbolSize": 8,
        "label": {"show": True, **text_style},
        "edgeLabel": {"show": True, **text_style, "fontSize": 10},
        "emphasis": {"focus": "adjacency"},
        "data": [],
        "links": [],
    }
    return {"animation": False, "tooltip": {"renderMode": "richText", "confine": True}, "series": [series]}


def drawn(edges: Sequence[Edge]) -> dict[str, Any]:
    """Nodes and links of these edges."""
    names = dict.fromkeys(name for edge in edges for name in (edge.caller, edge.callee))
    databases = {edge.callee: edge.caller for edge in edges if edge.kind == "database"}
    places = positions([name for name in names if name not in databases], databases)
    nodes = [
        {
            "name": name,
            "x": places[name][0],
            "y": places[name][1],
            "label": {"position": "right" if places[name][0] > -1 else "left"},
            "symbol": "roundRect" if name in databases else "circle",
            "symbolSize": 14 if name in databases else 26,
            "itemStyle": {"color": GREY if name in databases or name == OUTSIDE else PALETTE[0], "borderColor": FAINT},
        }
        for name in names
    ]
    return {"data": nodes, "links": [_link(edge) for edge in edges]}


def positions(callers_and_services: Sequence[str], databases: dict[str, str]) -> dict[str, tuple[float, float]]:
    """The services on an ellipse, who only calls them inside of it, the database of each behind it."""
    services = [each.name for each in SERVICES if each.name in callers_and_services]
    callers = [name for name in callers_and_services if name not in services]
    found = {name: (0.0, 60.0 * (number - (len(callers) - 1) / 2)) for number, name in enumerate(callers)}
    for number, name in enumerate(services):
        angle = 2 * math.pi * number / len(services) - math.pi / 2
        found[name] = (RADIUS * 1.9 * math.cos(angle), RADIUS * math.sin(angle))
    behind: dict[str, int] = {}
    for database, owner in databases.items():
        x, y = found.get(owner, (0.0, 0.0))
        behind[owner] = behind.get(owner, 0) + 1
        found[database] = (x * (1.2 + 0.25 * behind[owner]), y * (1.2 + 0.25 * behind[owner]))
    return found


def _link(edge: Edge) -> dict[str, Any]:
    colour = BAD if edge.error_ratio else COLOURS[edge.kind]
    failed = f"{words.ratio(edge.error_ratio)} failed  " if edge.error_ratio else ""
    said = f"{words.rate(edge.rate)}  {failed}{words.duration(edge.p95)}"
    return {
        "source": edge.caller,
        "target": edge.callee,
        "value": said,
        "label": {"formatter": "{c}"},
        "lineStyle": {"color": colour, "width": min(1 + edge.rate / 2, 6), "curveness": 0.18, "opacity": 0.8},
    }


def rows(edges: Sequence[Edge]) -> list[Row]:
    """The same as a table, the busiest first."""
    return [
        {
            "id": f"{edge.caller} {edge.callee} {edge.kind}",
            "cells": [
                {"text": edge.caller},
                {"text": edge.callee},
                {"text": edge.kind},
                {"text": words.rate(edge.rate)},
                {"text": words.ratio(edge.error_ratio), "class_": "bad" if edge.error_ratio else ""},
                {"text": words.duration(edge.p95)},
            ],
        }
        for edge in sorted(edges, key=lambda edge: -edge.rate)
    ]
