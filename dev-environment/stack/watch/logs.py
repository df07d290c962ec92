"""The services' JSON log files as readable lines: filtered, merged by time, followed across rotations."""

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from libs.observability.context import OWN_FIELDS
from libs.observability.logs.console import CONTROLS as ALL_CONTROLS
from libs.observability.logs.console import columns
from libs.observability.settings import LEVELS
from stack.errors import SettingError
from stack.report import is_coloured
from stack.services import SERVICES
from stack.watch.tail import Tail, lines_with, shallow

Line = dict[str, Any]

PAUSE_SECONDS = 0.2
# How many of each service's past lines a follower shows.
LINES_BEFORE = 20
NAME_WIDTH = max(len(service.name) for service in SERVICES)
# A client may have put control characters into a log line: the terminal must not obey them.
CONTROLS = {code: shown for code, shown in ALL_CONTROLS.items() if chr(code) not in "\n\t"}


def keeps(*, level: str = "", trace: str = "") -> Callable[[Line], bool]:
    """A filter for lines of at least `level`, of traces whose id begins with `trace`; empty means any.

    Raises `SettingError` if there is no such level.
    """
    wanted = "warning" if level.lower() == "warn" else level.lower()
    if wanted and wanted not in LEVELS:
        raise SettingError(f"There is no level {level!r}: use one of {', '.join(LEVELS)}.")
    enough = LEVELS[LEVELS.index(wanted) :] if wanted else ()
    trace = trace.lower()

    def keep(line: Line) -> bool:
        return (not enough or line.get("level") in enough) and str(line.get("trace_id", "")).startswith(trace)

    return keep


def stored(folders: Sequence[Path]) -> Iterator[Line]:
    """Every line in the services' log folders, the oldest first."""
    yield from heapq.merge(*(_lines_of(folder) for folder in folders), key=time_of)


def parsed(raw_lines: Iterable[str | bytes]) -> Iterator[Line]:
    """The log lines among raw lines; anything that is not a JSON object is left out."""
    for raw in raw_lines:
        try:
            line = orjson.loads(raw if isinstance(raw, str) else raw.decode(errors="replace"))
        except ValueError:  # cut off by a full disk or a kill
            continue
        if isinstance(line, dict):
            yield shallow(line)


def time_of(line: Line) -> str:
    """The key that sorts lines, the oldest first."""
    return str(line.get("timestamp", ""))


def of_trace(folders: Sequence[Path], trace_id: str, most: int | None = None) -> list[Line]:
    """The lines of one trace, at most so many, the oldest first."""
    lines = (line for folder in folders for line in _lines_of(folder, trace_id))
    return sorted(islice((line for line in lines if line.get("trace_id") == trace_id), most), key=time_of)


def followed(folders: Sequence[Path], keep: Callable[[Line], bool]) -> Iterator[Line]:
    """The last lines of each service, then each new one as it is written; never ends."""
    tails = [Tail(folder / "combined.log") for folder in folders]
    recent = [deque(filter(keep, _new(tail)), LINES_BEFORE) for tail in tails]
    yield from heapq.merge(*recent, key=time_of)
    while True:
        time.sleep(PAUSE_SECONDS)
        new = [line for tail in tails for line in _new(tail) if keep(line)]
        yield from sorted(new, key=time_of)


def _new(tail: Tail) -> Iterator[Line]:
    """The lines that have been written since the last call."""
    while lines := tail.lines():
        yield from parsed(line for _, line in lines)


def readable(line: Line, *, coloured: bool) -> str:
    """One line for people: the service, then the columns of the services' own console."""
    fields = {f"{name}?" if _is_odd(name, value) else name: value for name, value in harmless(line).items()}
    known = {name: str(fields.pop(name, "")) for name in OWN_FIELDS}
    shown = columns(known["timestamp"], known["level"], known["context"], known["message"], fields, coloured=coloured)
    return f"{known['service']:<{NAME_WIDTH}} {shown}"


def _is_odd(name: str, value: Any) -> bool:
    """Whether a field is an object in every line of the services, and is none here."""
    return name in ("http", "error") and not (isinstance(value, dict) and isinstance(value.get("facts", {}), dict))


def show(lines: Iterable[Line], *, flush: bool) -> None:
    """Print lines for people; `flush` each one as soon as it is there."""
    for line in lines:
        print(readable(line, coloured=is_coloured()), flush=flush)


def _lines_of(folder: Path, containing: str = "") -> Iterator[Line]:
    return parsed(lines_with(folder / "combined.log", containing.encode()))


def _visible(text: str) -> str:
    return text.translate(CONTROLS)


def harmless(value: Any, visible: Callable[[str], str] = _visible) -> Any:
    """A value with every string in it made `visible`: by default, safe for a terminal."""
    match value:
        case str():
            return visible(value)
        case dict():
            return {harmless(name, visible): harmless(inner, visible) for name, inner in value.items()}
        case list() | tuple():
            return [harmless(inner, visible) for inner in value]
        case _:
            return value
