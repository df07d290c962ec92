"""One service's metrics: curves of the last hour, its routes, and every family of /metrics with its help text."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from fastapi import Request
from nicegui import ui
from stack.services import SERVICES

from page import words
from page.reading.metrics import Exemplar, Family, Point, RouteNumbers, What
from page.reading.store import Store
from page.views.charts import COUNT, MEGABYTES, MILLISECONDS, PER_SECOND, PERCENT, Chart
from page.views.frame import Filter, Values, filters, frame, given, heading, text
from page.views.rows import Row, Rows, column

NAMES = [each.name for each in SERVICES]
WHICH = {"service": Filter("Service", {name: name for name in NAMES}), "route": Filter("Route")}
SEARCH = {"search": Filter("Name or help")}
MOST_DOTS, MOST_SAMPLES, MOST_LISTED = 150, 60, 10
ROUTES = [
    column("Route", "wide cut"),
    *(column(each, "tight num named") for each in ("Requests", "Errors", "p50", "p95", "Count")),
]
FAMILIES = [column("Family", "tight"), column("Type", "tight"), column("Help", "wide cut")]
EXEMPLARS = [column("Request", "wide cut"), column("Took", "tight num"), column("At", "tight num")]


def add(store: Store) -> None:
    """Add the view."""

    @ui.page("/metrics")
    def metrics(request: Request) -> None:
        which = given(request, WHICH)
        view = _Metrics(store, which["service"] or NAMES[0], which["route"], given(request, SEARCH))
        with frame("Metrics"):
            view.draw()
        ui.timer(1.0, view.update)


class _Metrics:
    """The view of one service, and of one of its routes if that is chosen."""

    def __init__(self, store: Store, service: str, route: str, search: Values) -> None:
        self._store, self._service, self._route, self._search = store, service, route, search
        self._open: set[str] = set()

    def draw(self) -> None:
        with ui.element("div").classes("head"):
            heading("Metrics", 1)
            if self._route:
                text(f"of {self._route}", "muted mono")
                with ui.element("a").props(f'href="{address(self._service)}"').classes("link"):
                    text("All routes")
        with ui.element("nav").props('aria-label="services"').classes("tabs"):
            for name in NAMES:
                link = ui.element("a").props(f'href="{address(name)}"')
                if name == self._service:
                    link.props('aria-current="true"')
                with link:
                    text(name)
        with ui.element("div").classes("charts"):
            self._charts: dict[What, Chart] = {"rate": Chart("Requests", PER_SECOND, ["requests"])}
            self._charts["error_ratio"] = Chart("Errors", PERCENT, ["answered with 5xx"])
            if not self._route:
                self._charts["pool"] = Chart("Database connections in use", COUNT, ["connections"])
            self._durations = Chart("Durations", MILLISECONDS, ["p50", "p95"], _open_trace)
            if not self._route:
                self._charts["waiting"] = Chart("Events waiting in the outbox", COUNT, ["events"])
                self._charts["lag"] = Chart("Loop lag", MILLISECONDS, ["p95"])
                self._charts["memory"] = Chart("Memory", MEGABYTES, ["resident"])
        heading("Routes")
        self._routes = Rows("routes", ROUTES, self._route_rows(), "No request yet: play the story (g s).")
        heading("Single requests")
        self._single = Rows("requests that stand for others", EXEMPLARS, self._exemplar_rows(), "No request yet.")
        heading("Everything in /metrics")
        filters(SEARCH, {"service": self._service, "route": self._route, **self._search}, self._find)
        empty = "Nothing fits, or the service does not answer."
        self._families = Rows("families", FAMILIES, self._family_rows(), empty, on_open=self._toggle)
        self._show_charts()

    def update(self) -> None:
        """Show what is new."""
        self._store.metrics.look()
        self._show_charts()
        self._routes.show(self._route_rows())
        self._single.show(self._exemplar_rows())
        self._families.show(self._family_rows())

    def _show_charts(self) -> None:
        for what, chart in self._charts.items():
            chart.show([self._history(what)])
        self._durations.show([self._history("p50"), self._history("p95")], self._exemplars())

    def _history(self, what: What) -> list[Point]:
        metrics, service = self._store.metrics, self._service
        if self._route and what in ("rate", "error_ratio", "p50", "p95"):
            return metrics.route_history(service, self._route, what)
        return metrics.history(service, what)

    def _exemplars(self) -> Sequence[Exemplar]:
        return self._store.metrics.exemplars(self._service, self._route)[-MOST_DOTS:]

    def _route_rows(self) -> list[Row]:
        return [_route_row(self._service, each) for each in self._store.metrics.routes(self._service)]

    def _exemplar_rows(self) -> list[Row]:
        by_trace = {each.trace_id: each for each in self._exemplars()}
        return [
            {
                "id": each.trace_id,
                "href": f"/trace/{quote(each.trace_id)}",
                "cells": [
                    {"text": each.route},
                    {"text": words.duration(each.seconds)},
                    {"text": words.clock(each.time)},
                ],
            }
            for each in list(reversed(by_trace.values()))[:MOST_LISTED]
        ]

    def _family_rows(self) -> list[Row]:
        wanted = self._search["search"].lower()
        found = self._store.metrics.families(self._service)
        return [self._family_row(each) for each in found if wanted in f"{each.name} {each.help}".lower()]

    def _family_row(self, each: Family) -> Row:
        return {
            "id": each.name,
            "opens": True,
            "cells": [
                {"text": each.name, "class_": "mono"},
                {"text": each.type, "note": each.unit},
                {"text": each.help, "class_": "muted"},
            ],
            "detail": {"fields": _samples(each)} if each.name in self._open else None,
        }

    def _find(self, values: Values) -> None:
        self._search = values
        self._families.show(self._family_rows())

    def _toggle(self, name: str) -> None:
        self._open ^= {name}
        self._families.show(self._family_rows())


def _route_row(service: str, each: RouteNumbers) -> Row:
    return {
        "id": each.route,
        "href": address(service, each.route),
        "cells": [
            {"text": each.route},
            {"text": words.rate(each.rate)},
            {"text": words.ratio(each.error_ratio), "class_": "bad" if each.error_ratio else ""},
            {"text": words.duration(each.p50)},
            {"text": words.duration(each.p95)},
            {"text": words.number(each.count)},
        ],
    }


def _samples(family: Family) -> list[tuple[str, str]]:
    if not family.samples:
        return [("no sample yet", words.NOTHING)]
    found = family.samples[:MOST_SAMPLES]
    shown = [(_sample(each.name, dict(each.labels)), words.number(each.value)) for each in found]
    left_out = len(family.samples) - len(found)
    return [*shown, (f"and {left_out} more", "curl its /metrics")] if left_out else shown


def _sample(name: str, labels: dict[str, str]) -> str:
    inside = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name


def _open_trace(trace_id: str) -> None:
    ui.navigate.to(f"/trace/{quote(trace_id)}")


def address(service: str, route: str = "") -> str:
    """Where the metrics of a service, or of one of its routes, are shown."""
    return "/metrics?" + urlencode({"service": service} | ({"route": route} if route else {}))
