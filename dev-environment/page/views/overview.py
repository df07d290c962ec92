"""The overview: what runs, how fast and how well, and where to look next."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from urllib.parse import quote

from nicegui import ui
from stack.errors import StackError
from stack.services import AUTH, SERVICES

from page import words
from page.reading.metrics import Point
from page.reading.processes import State
from page.reading.scrape import Exemplar
from page.reading.store import Store
from page.views.charts import broken
from page.views.frame import frame, heading, text
from page.views.rows import Cell, Row, Rows, column

SPARKS = ("rate", "error_ratio", "p95", "memory")
SLOWEST = 8
# After this, a change of a process is drawn; numbers, which nobody has new so soon, after `NUMBERS_SECONDS`.
DRAW_SECONDS, NUMBERS_SECONDS = 0.1, 1.0
COLUMNS = [
    column("Service"),
    *(
        column(title, "named num")
        for title in ("Requests", "Errors", "p50", "p95", "Memory", "Loop lag", "Waiting", "Dead")
    ),
    column("", "tight num"),
]


def add(store: Store, pages: Mapping[str, str]) -> None:
    """Add the view, with links to these pages of watchers, by name."""

    @ui.page("/")
    def overview() -> None:
        async def restart(name: str) -> None:
            try:
                await store.processes.restart(name)
            except StackError as error:
                ui.notify(str(error), type="negative", multi_line=True, timeout=10_000)

        with frame("Overview"):
            with ui.element("div").classes("head"):
                heading("Overview", 1)
                headline = text(said(store), "muted")
            services = Rows("services", COLUMNS, service_rows(store), "No service is known.", on_act=restart)
            with ui.element("div").classes("columns"):
                with ui.element("section"):
                    heading("Slowest of the last hour")
                    empty = "No request yet: play the story."
                    columns = [column("Request", "wide cut"), column("Service", "tight"), column("Took", "tight num")]
                    slowest = Rows("slowest requests", columns, slowest_rows(store), empty)
                with ui.element("section"):
                    heading("Logins since auth started")
                    outcomes = [column("Outcome", "wide"), column("Logins", "tight num")]
                    logins = Rows("logins", outcomes, login_rows(store), "Nobody has logged in yet: play the story.")
                    heading("Beside the services")
                    columns = [column("Process", "wide"), column("Since", "tight num")]
                    rows = beside_rows(store.processes.states(), pages)
                    beside = Rows("other processes", columns, rows, "Nothing else runs.")

        drawn: Mapping[str, State] = {}

        def follow() -> None:
            if store.processes.states() != drawn:
                update()

        def update() -> None:
            nonlocal drawn
            drawn = store.processes.states()
            store.metrics.look()
            headline.text = said(store)
            services.show(service_rows(store))
            slowest.show(slowest_rows(store))
            logins.show(login_rows(store))
            beside.show(beside_rows(drawn, pages))

        ui.timer(DRAW_SECONDS, follow)
        ui.timer(NUMBERS_SECONDS, update)


def said(store: Store) -> str:
    """How it is, in a sentence."""
    states = store.processes.states()
    ready = sum(states[each.name].state == "ready" for each in SERVICES if each.name in states)
    rates = [store.metrics.numbers(each.name).rate or 0.0 for each in SERVICES]
    return f"{ready} of {len(SERVICES)} services are ready, {words.rate(sum(rates))} requests"


def service_rows(store: Store) -> list[Row]:
    """A row for each service."""
    states = store.processes.states()
    return [_service_row(store, states[each.name]) for each in SERVICES if each.name in states]


def _service_row(store: Store, state: State) -> Row:
    is_restarting = store.processes.is_restarting(state.name)
    now = store.metrics.numbers(state.name)
    curves = {what: thin(store.metrics.history(state.name, what)) for what in SPARKS}
    is_failing = bool(now.error_ratio)
    cells: list[Cell] = [
        _state(state),
        {"text": words.rate(now.rate), "spark": curves["rate"]},
        {"text": words.ratio(now.error_ratio), "spark": curves["error_ratio"], "class_": "bad" if is_failing else ""},
        {"text": words.duration(now.p50)},
        {"text": words.duration(now.p95), "spark": curves["p95"]},
        {"text": words.size(now.memory), "spark": curves["memory"]},
        {"text": words.duration(now.lag)},
        {"text": words.number(now.waiting)},
        {"text": words.number(now.dead), "class_": "bad" if now.dead else ""},
        {"text": "Restarting" if is_restarting else "Restart", "act": f"Restart {state.name}", "off": is_restarting},
    ]
    href = f"/metrics?service={quote(state.name)}"
    label = f"{state.name}, {state.state}: its metrics"
    return {"id": state.name, "href": href, "label": label, "class_": _tone(state), "cells": cells}


def slowest_rows(store: Store) -> list[Row]:
    """The slowest requests that an exemplar names."""
    found = [(each, service.name) for service in SERVICES for each in store.metrics.exemplars(service.name)]
    found.sort(key=lambda pair: -pair[0].seconds)
    seen: dict[str, tuple[Exemplar, str]] = {}
    for each, service in found:  # the slowest of each trace
        seen.setdefault(each.trace_id, (each, service))
    return [
        {
            "id": each.trace_id,
            "href": f"/trace/{quote(each.trace_id)}",
            "label": f"the trace of {each.route}, {words.duration(each.seconds)}",
            "cells": [{"text": each.route}, {"text": service}, {"text": words.duration(each.seconds)}],
        }
        for each, service in list(seen.values())[:SLOWEST]
    ]


def login_rows(store: Store) -> list[Row]:
    """How logins have ended."""
    logins = store.metrics.numbers(AUTH.name).logins
    return [
        {"id": outcome, "cells": [{"text": outcome}, {"text": words.number(count)}]}
        for outcome, count in sorted(logins.items())
    ]


def beside_rows(states: Mapping[str, State], pages: Mapping[str, str]) -> list[Row]:
    """The probe, PostgreSQL and the watchers. One that is ready leads to its page, if it has one."""
    services = {each.name for each in SERVICES}
    return [_beside_row(each, pages.get(name, "")) for name, each in states.items() if name not in services]


def _beside_row(state: State, page: str) -> Row:
    cells: list[Cell] = [_state(state, is_dated=False), {"text": words.age(state.since)}]
    row: Row = {"id": state.name, "class_": _tone(state), "cells": cells}
    if page and state.state == "ready":
        row["href"], row["label"] = page, f"{state.name}: {page}"
    return row


def _state(state: State, *, is_dated: bool = True) -> Cell:
    since = f" for {words.age(state.since)}" if is_dated else ""
    note = state.state + since + (f": {state.reason}" if state.reason else "")
    return {"text": state.name, "dot": _tone(state) or "good", "note": note, "class_": _tone(state)}


def _tone(state: State) -> str:
    return "" if state.state == "ready" else "bad"


def thin(points: Sequence[Point], most: int = 48) -> list[tuple[float, float | None]]:
    """Points of a small curve: at most so many, each the highest of its part, so that no peak is lost; outages as one."""
    step = -(-len(points) // most) or 1
    small: list[tuple[float, float | None]] = []
    for is_outage, part in groupby(broken(points), key=lambda point: point[1] is None):
        run = list(part)
        parts = [run[-1:]] if is_outage else (run[at : at + step] for at in range(0, len(run), step))
        small += (max(each, key=lambda point: point[1] or 0.0) for each in parts)
    return [(round(when), value and float(f"{value:.3g}")) for when, value in small]
