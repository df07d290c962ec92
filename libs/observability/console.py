"""A log line for people: columns, in colour on a terminal."""

import os
import sys
from collections.abc import Mapping

COLOURS = {"debug": "\033[2m", "info": "\033[32m", "warning": "\033[33m", "error": "\033[31m", "critical": "\033[1;31m"}
DIM, RESET = "\033[2m", "\033[0m"
IN_COLUMNS = frozenset(
    ("timestamp", "level", "service", "environment", "version", "message", "context", "http", "duration_ms", "error")
)

CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def is_coloured() -> bool:
    """Whether standard error is a terminal and `NO_COLOR` is not set."""
    return not os.environ.get("NO_COLOR") and sys.__stderr__ is not None and sys.__stderr__.isatty()


def columns(line: Mapping[str, object], *, coloured: bool) -> str:
    """Time, level, component, message, then the fields; the stack of an error below, indented.

    Nothing in a value can forge a line or steer the terminal.
    """
    level, context, message = str(line["level"]), str(line["context"]), str(line["message"])
    time, facts = str(line["timestamp"])[11:23], " ".join(_facts(line))
    if not (facts.isprintable() and message.isprintable() and context.isprintable()):
        context, message, facts = _harmless(context), _indented(message), _harmless(facts)
    if coloured:
        time, facts = f"{DIM}{time}{RESET}", f"{DIM}{facts}{RESET}" if facts else ""
        level = f"{COLOURS.get(level, '')}{level:<8}{RESET}"
    text = f"{time} {level:<8} {context:<28} {message}  {facts}".rstrip()
    if "error" in line and (stack := _object(line, "error").get("stack")):
        text += "\n    " + _indented(str(stack)).rstrip()
    return text


def _facts(line: Mapping[str, object]) -> list[str]:
    facts = [f"{name}={line[name]}" for name in line if name not in IN_COLUMNS]
    if "error" in line:
        error = _object(line, "error")
        facts.insert(0, f"{error.get('type', 'error')}: {error.get('message')}")
    if "duration_ms" in line:
        facts.insert(0, f"{line['duration_ms']} ms")
    if "http" in line:
        http = _object(line, "http")
        facts.insert(0, f"{http.get('method')} {http.get('path')} {http.get('status_code')}")
    return facts


def _object(line: Mapping[str, object], name: str) -> dict[str, object]:
    """`lines` has made sure that it is one."""
    return line[name]  # pyright: ignore[reportReturnType]


def _harmless(text: str) -> str:
    return text if text.isprintable() else text.translate(CONTROLS)


def _indented(text: str) -> str:
    """Several lines stay several lines, of which only the first begins at the margin."""
    return "\n    ".join(_harmless(part) for part in text.split("\n"))
