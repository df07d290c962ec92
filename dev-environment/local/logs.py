"""The services' JSON log files as readable lines: filtered, in one order, followed across rotations."""

import heapq
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from libs.observability.context import OWN_FIELDS
from libs.observability.files import rotated
from libs.observability.logs.console import CONTROLS as ALL_CONTROLS
from libs.observability.logs.console import columns
from libs.observability.settings import LEVELS
from local.settings import SERVICES, SettingError

Line = dict[str, Any]

PAUSE_SECONDS = 0.2
# What a follower shows of the past, of each service.
LINES_BEFORE = 20
NAME_WIDTH = max(len(service.name) for service in SERVICES)
# Whatever a client put into a log line must not reach the terminal as a command.
CONTROLS = {code: shown for code, shown in ALL_CONTROLS.items() if chr(code) not in "\n\t"}


def keeps(*, level: str = "", trace: str = "") -> Callable[[Line], bool]:
    """A filter: lines of at least `level`, of traces whose id begins with `trace`. `SettingError`: no such level."""
    wanted = "warning" if level.lower() == "warn" else level.lower()
    if wanted and wanted not in LEVELS:
        raise SettingError(f"there is no level {level!r}: use one of {', '.join(LEVELS)}")
    enough = LEVELS[LEVELS.index(wanted) :] if wanted else ()
    trace = trace.lower()

    def keep(line: Line) -> bool:
        return (not enough or line.get("level") in enough) and str(line.get("trace_id", "")).startswith(trace)

    return keep


def stored(folders: Sequence[Path]) -> Iterator[Line]:
    """Every line that the services' log folders hold, in the order of time."""
    yield from heapq.merge(*(_lines_of(folder / "combined.log") for folder in folders), key=time_of)


def parsed(texts: Iterable[str]) -> Iterator[Line]:
    """The lines among texts, without those that are none."""
    for text in texts:
        yield from _parsed(text)


def time_of(line: Line) -> str:
    """What lines are put in order by."""
    return str(line.get("timestamp", ""))


def of_trace(folders: Sequence[Path], trace_id: str) -> list[Line]:
    """The lines of one trace, in the order of time."""
    lines = (line for folder in folders for line in _lines_of(folder / "combined.log", containing=trace_id))
    return sorted((line for line in lines if line.get("trace_id") == trace_id), key=time_of)


def followed(folders: Sequence[Path], keep: Callable[[Line], bool]) -> Iterator[Line]:
    """The last lines of each service, then each new one as it is written, without an end."""
    followers = [Follower(folder / "combined.log") for folder in folders]
    recent = [[line for line in follower.new() if keep(line)][-LINES_BEFORE:] for follower in followers]
    yield from heapq.merge(*recent, key=time_of)
    while True:
        time.sleep(PAUSE_SECONDS)
        new = [line for follower in followers for line in follower.new() if keep(line)]
        yield from sorted(new, key=time_of)


class Follower:
    """Reads a log file as it grows. Rotation renames it: each file is known by its inode, and read to its end."""

    def __init__(self, path: Path) -> None:
        """Begin at the start of the file as it is; what was rotated before stays unread."""
        self._path = path
        self._seen = {file.stat().st_ino for file in rotated(path)}
        self._open: dict[int, TextIO] = {}

    def new(self) -> list[Line]:
        """The complete lines that were written since the last call."""
        lines: list[Line] = []
        files = [*rotated(self._path), self._path]
        current = -1
        for file in files:
            try:
                current = file.stat().st_ino
                if current not in self._seen:
                    self._seen.add(current)
                    self._open[current] = file.open(encoding="utf-8", errors="replace")
            except FileNotFoundError:  # rotated or removed between two looks
                continue
        for inode, opened in list(self._open.items()):
            lines += self._rest(opened)
            if inode != current:
                opened.close()
                del self._open[inode]
        return lines

    def _rest(self, opened: TextIO) -> Iterator[Line]:
        while True:
            before = opened.tell()
            text = opened.readline()
            if not text.endswith("\n"):
                opened.seek(before)  # half a line: the rest comes with the next look
                return
            yield from _parsed(text)


def readable(line: Line, *, coloured: bool) -> str:
    """One line for people: the service, then the columns that the services' own console has."""
    fields = _harmless(line)
    known = {name: str(fields.pop(name, "")) for name in OWN_FIELDS}
    four = (known[name] for name in ("timestamp", "level", "context", "message"))
    return f"{known['service']:<{NAME_WIDTH}} {columns(*four, fields, coloured=coloured)}"


def _lines_of(path: Path, containing: str = "") -> Iterator[Line]:
    for file in [*rotated(path), path]:
        if file.exists():
            with file.open(encoding="utf-8", errors="replace") as opened:
                for text in opened:
                    if containing in text:
                        yield from _parsed(text)


def _parsed(text: str) -> Iterator[Line]:
    try:
        line = json.loads(text)
    except ValueError:  # torn by a full disk or a kill
        return
    if isinstance(line, dict):
        yield line


def _harmless(value: Any) -> Any:
    match value:
        case str():
            return value.translate(CONTROLS)
        case dict():
            return {_harmless(name): _harmless(inner) for name, inner in value.items()}
        case list():
            return [_harmless(inner) for inner in value]
        case _:
            return value
