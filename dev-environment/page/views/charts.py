"""Curves over the last hour, drawn by ECharts in colours that are seen on light and on dark ground."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from page.reading.metrics import Exemplar, Point
from page.reading.store import SCRAPE_SECONDS
from page.views.frame import heading

PALETTE = ("#4a86d8", "#d08a1d", "#2fa57f", "#c0699f")
GREY, FAINT = "#858b95", "rgba(133,139,149,.18)"
# Three looks at a service while nobody looks at the page.
OUTAGE_SECONDS = 3 * SCRAPE_SECONDS[0]
FONT = "Roboto, system-ui, sans-serif"


class Unit(NamedTuple):
    """What a number is shown in, what it is multiplied with for that, and how many digits are kept."""

    shown: str
    factor: float
    digits: int


MILLISECONDS, PER_SECOND, PERCENT = Unit("ms", 1000, 2), Unit("/s", 1, 3), Unit("%", 100, 2)
MEGABYTES, COUNT = Unit("MB", 1e-6, 1), Unit("", 1, 2)


class Chart:
    """A chart with its title, which is drawn again only when its points are others."""

    def __init__(
        self, title: str, unit: Unit, names: Sequence[str], on_exemplar: Callable[[str], Any] | None = None
    ) -> None:
        self._unit, self._has_dots, self._before = unit, on_exemplar is not None, None
        with ui.element("section").classes("chart broad" if on_exemplar else "chart"):
            heading(f"{title}, {unit.shown}".rstrip(", "))
            self._chart = ui.echart(options(names, has_dots=self._has_dots), renderer="svg")
            self._chart.props["role"] = "img"
            self._chart.props["aria-label"] = title
        if on_exemplar:
            self._chart.on_point_click(lambda event: _opened(event, on_exemplar))

    def show(self, curves: Sequence[Sequence[Point]], exemplars: Sequence[Exemplar] = ()) -> None:
        """Show these points, a curve for each name."""
        now = [*(with_breaks(curve, self._unit) for curve in curves), list(exemplars)]
        if now == self._before:
            return
        self._before = now
        factor, digits = self._unit.factor, self._unit.digits
        series: list[dict[str, Any]] = self._chart.options["series"]
        for drawn, points in zip(series, now[:-1], strict=False):
            drawn["data"] = points
        if self._has_dots:
            series[-1]["data"] = [
                {"value": [round(each.time * 1000), round(each.seconds * factor, digits)], "name": each.trace_id}
                for each in exemplars
            ]
        self._chart.update()


def broken(curve: Sequence[Point]) -> list[tuple[float, float | None]]:
    """The points, with one that has no value, where a line ends, for each outage: nobody answered, or nobody asked."""
    points: list[tuple[float, float | None]] = []
    for when, value in curve:
        if points and when - points[-1][0] > OUTAGE_SECONDS:
            points.append((when - 0.001, None))
        points.append((when, None if math.isnan(value) else value))
    return points


def with_breaks(curve: Sequence[Point], unit: Unit) -> list[tuple[int, float | None]]:
    """The same in milliseconds and this unit."""
    return [
        (round(when * 1000), None if value is None else round(value * unit.factor, unit.digits))
        for when, value in broken(curve)
    ]


def options(names: Sequence[str], *, has_dots: bool) -> dict[str, Any]:
    """The options of ECharts. No text in them is markup: what floats over a point is drawn, and never HTML."""
    axis = {
        "axisLabel": {"color": GREY, "fontFamily": FONT, "fontSize": 11, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": FAINT}},
    }
    lines = [
        {"type": "line", "name": name, "data": [], "showSymbol": False, "lineStyle": {"width": 1.6}} for name in names
    ]
    dots = {
        "type": "scatter",
        "name": "one request: click for its trace",
        "data": [],
        "symbolSize": 9,
        "cursor": "pointer",
    }
    return {
        "animation": False,
        "color": list(PALETTE),
        "grid": {
            "left": 8,
            "right": 22,
            "top": 30 if len(names) + has_dots > 1 else 14,
            "bottom": 6,
            "containLabel": True,
        },
        "legend": {
            "show": len(names) + has_dots > 1,
            "left": 0,
            "top": 0,
            "itemWidth": 14,
            "itemHeight": 8,
            "textStyle": {"color": GREY, "fontFamily": FONT, "fontSize": 11},
        },
        "tooltip": {"trigger": "axis", "renderMode": "richText", "confine": True, "textStyle": {"fontSize": 11}},
        "xAxis": {"type": "time", "splitLine": {"show": False}, **axis},
        "yAxis": {"type": "value", "min": 0, "splitNumber": 3, "splitLine": {"lineStyle": {"color": FAINT}}, **axis},
        "series": [*lines, dots] if has_dots else lines,
    }


def _opened(event: EChartPointClickEventArguments, on_exemplar: Callable[[str], Any]) -> None:
    if event.series_type == "scatter":
        on_exemplar(event.name)
