"""The story: plays `make demo` and shows its steps as they come, each linked to its trace; starts and stops load."""

from collections.abc import Sequence
from importlib.util import find_spec
from urllib.parse import quote

from nicegui import ui

from page import words
from page.playing import Child, Step, steps
from page.views.frame import button, frame, heading, text
from page.views.rows import Row, Rows, column

COLUMNS = [
    column("Who", "tight"),
    column("What", "wide cut"),
    column("Took", "tight num"),
    column("Trace", "tight mono"),
]
NOT_PLAYED = "Not played yet. It takes about twenty seconds, and adds three companies to the data."
NO_LOCUST = "Load needs locust, which `make load` installs in a terminal."


def add(demo: Child, load: Child) -> None:
    """Add the view."""

    @ui.page("/story")
    def story() -> None:
        with frame("Story"):
            with ui.element("div").classes("head"):
                heading("Story", 1)
                said = text("", "muted")
                ui.element("div").classes("grow")
                play = button("Play the story", demo.start, primary=True)
            with ui.element("div").classes("steps"):
                listed = Rows("steps of the story", COLUMNS, rows(demo.lines), NOT_PLAYED)
            with ui.element("div").classes("head below"):
                heading("Load")
                how = text("", "muted")
                ui.element("div").classes("grow")
                start = button("Start", load.start)
                stop = button("Stop", load.stop)
            output = text("", "stack", tag="pre")

        def update() -> None:
            listed.show(rows(demo.lines))
            said.text = _said(demo)
            how.text = _load(load)
            output.text = words.harmless("\n".join(load.lines))
            output.set_visibility(bool(load.lines))
            off = ((play, demo.is_running), (start, load.is_running or not _has_locust()), (stop, not load.is_running))
            for each, is_off in off:
                if each.props.get("disabled") != is_off:
                    each.props["disabled"] = is_off

        update()
        ui.timer(1.0, update)


def rows(lines: Sequence[str]) -> list[Row]:
    """A row for each step, and one for each line between them; those that are not indented are headlines."""
    return [_row(str(number), each) for number, each in enumerate(steps(lines))]


def _row(row_id: str, each: Step | str) -> Row:
    if isinstance(each, str):
        class_ = "" if each.startswith(" ") else "headline"
        return {"id": row_id, "class_": class_, "cells": [{}, {"text": each.strip()}, {}, {}]}
    return {
        "id": row_id,
        "href": f"/trace/{quote(each.trace_id)}",
        "label": f"{each.who} {each.what}: its trace",
        "cells": [
            {"text": each.who},
            {"text": each.what},
            {"text": f"{each.milliseconds} ms"},
            {"text": each.trace_id[:8]},
        ],
    }


def _said(demo: Child) -> str:
    count = sum(isinstance(each, Step) for each in steps(demo.lines))
    if demo.is_running:
        return f"playing, {count} steps so far; each leads to its trace"
    if demo.code is None:
        return "three companies at work, through all services"
    return f"played at {words.clock(demo.began)}, {count} steps" + (", and then it stopped" if demo.code else "")


def _has_locust() -> bool:
    return find_spec("locust") is not None  # `make load` may have installed it meanwhile


def _load(load: Child) -> str:
    if not _has_locust():
        return NO_LOCUST
    return (
        f"eight people at work for {words.age(load.began)}"
        if load.is_running
        else "eight people at work, until you stop it"
    )
