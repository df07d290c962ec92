"""A log line for people: columns, in colour on a terminal."""

import os
import sys
from collections.abc import Mapping
from typing import cast

COLOURS = {"debug": "\033[2m", "info": "\033[32m", "warning": "\033[33m", "error": "\033[31m", "critical": "\033[1;31m"}
DIM, RESET = "\033[2m", "\033[0m"
IN_COLUMNS = frozenset(
    ("timestamp", "level", "service", "environment", "version", "message", "context", "http", "duration_ms", "error")
)


def is_coloured() -> bool:
    """Whether standard error is a terminal and `NO_COLOR` is not set."""
    return not os.environ.get("NO_COLOR") and sys.__stderr__ is not None and sys.__stderr__.isatty()


def columns(line: Mapping[str, object], *, coloured: bool) -> str:
    """Time, level, component, message, then the fields; the stack of an error below, indented."""
    level = str(line["level"])
    head = f"{str(line['timestamp'])[11:23]} {level:<8} {line['context']!s:<28} {line['message']}"
    if coloured:
        head = f"{DIM}{head[:12]}{RESET} {COLOURS.get(level, '')}{level:<8}{RESET}{head[21:]}"
    tail = " ".join(_facts(line))
    text = f"{head}  {DIM}{tail}{RESET}" if coloured and tail else f"{head}  {tail}".rstrip()
    error = line.get("error")
    if isinstance(error, Mapping):
        stack = cast("Mapping[str, object]", error).get("stack")
        if stack:
            text += "\n    " + str(stack).rstrip().replace("\n", "\n    ")
    return text


def _facts(line: Mapping[str, object]) -> list[str]:
    facts: list[str] = []
    http = line.get("http")
    if isinstance(http, Mapping):
        http = cast("Mapping[str, object]", http)
        facts.append(f"{http.get('method')} {http.get('path')} {http.get('status_code')}")
    if "duration_ms" in line:
        facts.append(f"{line['duration_ms']} ms")
    error = line.get("error")
    if isinstance(error, Mapping):
        error = cast("Mapping[str, object]", error)
        facts.append(f"{error.get('type', 'error')}: {error.get('message')}")
    # A line break in a value would forge a line.
    facts.extend(f"{name}={value}".replace("\n", "\\n") for name, value in line.items() if name not in IN_COLUMNS)
    return facts
