"""A list of rows in the browser, which is told of changed rows only; whatever they hold is shown as text, never as markup."""

from collections.abc import Callable, Sequence
from typing import Any, Required, TypedDict

from nicegui import ui
from nicegui.events import GenericEventArguments

from page.words import harmless


class Column(TypedDict):
    """A column: its title, and its classes of page.css."""

    title: str
    class_: str


class Cell(TypedDict, total=False):
    """What a cell shows; every part may be missing."""

    text: str
    note: str
    tags: Sequence[tuple[str, str]]
    """Each a text and a class."""
    dot: str
    """The class of a dot before the text."""
    spark: Sequence[tuple[float, float | None]]
    """The points of a small curve, which ends where one has no value."""
    bar: tuple[float, float, str]
    """Where a bar begins and how long it is, in percent, and its class."""
    depth: int
    title: str
    href: str
    act: str
    """What a button does, for `on_act`."""
    off: bool
    class_: str


class Detail(TypedDict, total=False):
    """What is shown beneath a row that is open."""

    links: Sequence[tuple[str, str]]
    lines: Sequence[tuple[str, str, str]]
    """Log lines: level, text and an address."""
    stack: str
    fields: Sequence[tuple[str, str]]


class Row(TypedDict, total=False):
    """A row: the first cell is a link to `href` or, if it `opens`, a button for `on_open`; `label` says to what."""

    id: Required[str]
    label: str
    href: str
    opens: bool
    class_: str
    cells: Sequence[Cell]
    detail: Detail | None


class Rows(ui.element, component="rows.js"):
    """The list. `empty` says what to do where there is no row."""

    def __init__(
        self,
        label: str,
        columns: Sequence[Column],
        rows: Sequence[Row],
        empty: str,
        *,
        on_open: Callable[[str], Any] | None = None,
        on_act: Callable[[str], Any] | None = None,
    ) -> None:
        super().__init__()
        self._shown = {row["id"]: harmless(row) for row in rows}
        self._empty = empty
        self.props["label"] = label
        self.props["columns"] = columns
        self.props["rows"] = list(self._shown.values())
        self.props["empty"] = empty
        for event, handler in (("open", on_open), ("act", on_act)):
            if handler:
                self.on(event, self._told(handler))

    def show(self, rows: Sequence[Row], empty: str | None = None) -> None:
        """Show these rows instead, sending what has changed."""
        rows = [harmless(row) for row in rows]
        changed = [row for row in rows if self._shown.get(row["id"]) != row]
        empty = self._empty if empty is None else empty
        order = [row["id"] for row in rows]
        if changed or empty != self._empty or order != list(self._shown):
            self.run_method("patch", order, changed, empty)
        self._shown = {row["id"]: row for row in rows}
        self._empty = empty

    def _told(self, handler: Callable[[str], Any]) -> Callable[[GenericEventArguments], Any]:
        # A browser may name only a row that it was shown.
        def told(event: GenericEventArguments) -> Any:
            return handler(event.args) if event.args in self._shown else None

        return told


def column(title: str, class_: str = "") -> Column:
    """A column."""
    return {"title": title, "class_": class_}
