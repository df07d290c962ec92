"""The map: who calls whom, how often, how well and how fast, as the spans of the last five minutes tell it."""

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from page import words
from page.reading.spans import OUTSIDE, Edge
from page.reading.store import Store
from page.views import places
from page.views.charts import FAINT, FONT, GREY, PALETTE
from page.views.frame import frame, heading, text
from page.views.places import Box, Place, around
from page.views.rows import Row, Rows, column
from page.views.traces import left_out

SECONDS = 300
COLOURS = {"http": PALETTE[0], "event": PALETTE[1], "database": GREY}
BAD = "#d84a4f"
# Events and requests of the same two services are curves of their own.
CURVENESS = {"http": 0.1, "event": 0.24, "database": 0.1}
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
        before: list[Row] = []

        def update() -> None:
            nonlocal before
            told.text = WHAT + left_out(store)
            edges = store.traces.edges(SECONDS)
            if (now := rows(edges)) != before:
                before = now
                chart.options["series"][0] |= drawn(edges)
                chart.update()
                listed.show(now)

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
    # A text is seen before the lines that it crosses.
    text_style = {
        "fontFamily": FONT,
        "fontSize": 12,
        "color": "var(--muted)",
        "textBorderColor": "var(--surface)",
        "textBorderWidth": 4,
    }
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
        "emphasis": {"focus": "adjacency"},
        "data": [],
        "links": [],
    }
    return {"animation": False, "tooltip": {"renderMode": "richText", "confine": True}, "series": [series]}


def drawn(edges: Sequence[Edge]) -> dict[str, Any]:
    """Nodes and links of these edges, and of each link the text beside it, which is a node that is not seen."""
    names = dict.fromkeys(name for edge in edges for name in (edge.caller, edge.callee))
    databases = {edge.callee: edge.caller for edge in edges if edge.kind == "database"}
    at = places.nodes([name for name in names if name not in databases], databases)
    nodes = [_node(name, at[name], is_database=name in databases) for name in names]
    curves = {_id(edge): (at[edge.caller], at[edge.callee], CURVENESS[edge.kind], said(edge)) for edge in edges}
    taken = [box for name in names for box in _boxes(name, at[name])]
    texts = [_text(curves[name][-1], name, place) for name, place in places.texts(curves, taken)]
    return {"data": [*nodes, *texts], "links": [_link(edge) for edge in edges]}


def said(edge: Edge) -> str:
    """What stands beside an edge."""
    failed = f"{words.ratio(edge.error_ratio)} failed · " if edge.error_ratio else ""
    itself = "↻ " if edge.caller == edge.callee else ""
    return f"{itself}{words.rate(edge.rate)} · {failed}{words.duration(edge.p95)}"


def _node(name: str, place: Place, *, is_database: bool) -> dict[str, Any]:
    return {
        "name": name,
        "x": place[0],
        "y": place[1],
        "label": {"position": _side(place)},
        "symbol": "roundRect" if is_database else "circle",
        "symbolSize": places.SMALL_NODE if is_database else places.NODE,
        "itemStyle": {"color": GREY if is_database or name == OUTSIDE else PALETTE[0], "borderColor": FAINT},
    }


def _side(place: Place) -> str:
    x, y = place
    return "right" if abs(x) < 1 else "top" if y < 0 else "bottom"


def _boxes(name: str, place: Place) -> list[Box]:
    """What a node and its name take."""
    x, y = place
    away = places.NODE / 2 + 5 + places.LINE / 2
    half = len(name) * places.NAME_LETTER / 2
    middle = {"right": (x + away + half, y), "top": (x, y - away), "bottom": (x, y + away)}[_side(place)]
    half_node = places.NODE / 2
    return [Box(x - half_node, y - half_node, x + half_node, y + half_node), around(middle, name, places.NAME_LETTER)]


def _text(shown: str, name: str, place: Place) -> dict[str, Any]:
    label = {"position": "inside", "formatter": "{c}", "fontSize": 10}
    nothing = {"symbolSize": 0, "silent": True, "blur": {"label": {"opacity": 1}}}
    return {"name": name, "x": place[0], "y": place[1], "value": shown, "label": label, **nothing}


def _link(edge: Edge) -> dict[str, Any]:
    colour = BAD if edge.error_ratio else COLOURS[edge.kind]
    style = {"color": colour, "width": min(1 + edge.rate / 2, 6), "curveness": CURVENESS[edge.kind], "opacity": 0.8}
    return {"source": edge.caller, "target": edge.callee, "value": said(edge), "lineStyle": style}


def _id(edge: Edge) -> str:
    return f"{edge.caller} {edge.callee} {edge.kind}"


def rows(edges: Sequence[Edge]) -> list[Row]:
    """The same as a table, the busiest first."""
    return [
        {
            "id": _id(edge),
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
