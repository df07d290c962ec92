"""A log line for people: columns, in colour on a terminal."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

COLOURS = {"debug": "\033[2m", "info": "\033[32m", "warning": "\033[33m", "error": "\033[31m", "critical": "\033[1;31m"}
DIM, RESET = "\033[2m", "\033[0m"
# Fields that need no name to be understood; the first two are objects.
UNNAMED: dict[str, Callable[[Any], str]] = {
    "http": lambda http: f"{http.get('method')} {http.get('path')} {http.get('status_code')}",
    "error": lambda error: f"{error.get('type', 'error')}: {error.get('message')}",
    "duration_ms": lambda duration: f"{duration} ms",
}
# One id is enough to follow a trace by.
ONLY_IN_FILES = frozenset(("span_id", "request_id"))
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def is_terminal() -> bool:
    """Whether somebody sees standard error as it is written."""
    return sys.__stderr__ is not None and sys.__stderr__.isatty()


def is_coloured() -> bool:
    """Whether standard error is a terminal and `NO_COLOR` is not set."""
    return not os.environ.get("NO_COLOR") and is_terminal()


def columns(
    timestamp: str, level: str, context: str, message: str, fields: Mapping[str, Any], *, coloured: bool
) -> str:
    """Time, level, component, message, then the fields in their order; the stack of an error below, indented.

    Nothing in a value can forge a line or steer the terminal.
    """
    facts = " ".join([
        UNNAMED[name](value) if name in UNNAMED else f"{name}={value}"
        for name, value in fields.items() if name not in ONLY_IN_FILES
    ])  # fmt: skip
    time, head, facts = timestamp[11:23], _head(level, context, message, coloured), _harmless(facts)
    line = f"{DIM}{time}{RESET} {head}{DIM}{facts}{RESET}" if coloured else f"{time} {head}{facts}".rstrip()
    if "error" in fields and (stack := fields["error"].get("stack")):
        line += "\n    " + _indented(str(stack)).rstrip()
    return line


@lru_cache(maxsize=256)
def _head(level: str, context: str, message: str, coloured: bool) -> str:
    shown = f"{COLOURS.get(level, '')}{level:<8}{RESET}" if coloured else f"{level:<8}"
    return f"{shown} {_harmless(context):<28} {_indented(message)}  "


def _harmless(string: str) -> str:
    return string if string.isprintable() else string.translate(CONTROLS)


def _indented(string: str) -> str:
    """Several lines stay several lines, of which only the first begins at the margin."""
    return "\n    ".join(_harmless(part) for part in string.split("\n"))
