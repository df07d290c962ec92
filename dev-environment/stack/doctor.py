"""What keeps a stack from starting on this machine, and the cure: `make doctor`, and each `make up` before it starts.

What each mode needs is in its own `checks.py`.
"""

import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stack.errors import StackError
from stack.ports import holder, is_free, stack_at

GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """The result of one check. An `error` keeps the stack from starting; `cure` says what to do."""

    state: Literal["ok", "warning", "error"]
    what: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.what}. {self.cure}" if self.cure else self.what


def require(findings: Iterable[Finding]) -> list[Finding]:
    """The warnings among the findings; `StackError` with every error and its cure, if there is any."""
    found = list(findings)
    if errors := [str(each) for each in found if each.state == "error"]:
        raise StackError("\n".join(errors))
    return [each for each in found if each.state == "warning"]


def show(findings: Iterable[Finding]) -> bool:
    """Print each finding as soon as it is known; returns whether the stack can start."""
    marks = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
    can_start = True
    for each in findings:
        print(f"{marks[each.state]}  {each}", flush=True)
        can_start = can_start and each.state != "error"
    return can_start


def ports(
    wanted: Mapping[str, tuple[int, str]],
    kind: socket.SocketKind,
    another_cure: str = "",
    otherwise: Literal["warning", "error"] = "error",
) -> Iterator[Finding]:
    """Whether ports are free, `otherwise` a warning or an error. `wanted` has the port and who wants it, by the variable that moves it."""
    taken = {variable: each for variable, each in wanted.items() if not is_free(each[0], kind)}
    for variable, (port, what) in taken.items():
        airplay = " On macOS that may be AirPlay: System Settings, General, AirDrop & Handoff, AirPlay Receiver."
        other = stack_at(port)
        stop = f"It is the stack of {other}: `make down` in its checkout" if other else "Stop that"
        yield Finding(
            otherwise,
            f"Port {port}, wanted for {what}, is used by {holder(port, kind)}",
            f"{stop}, or set {variable} in .env to a free port."
            + (f" {another_cure}" if another_cure else "")
            + (airplay if sys.platform == "darwin" and port in (5000, 7000) else ""),
        )
    if wanted and not taken:
        yield Finding("ok", f"The ports are free: {', '.join(str(port) for port, _ in sorted(wanted.values()))}")


def free_bytes(folder: Path) -> tuple[int, Path]:
    """How much room there is in a folder, and the nearest folder above it that could be asked."""
    try:
        return shutil.disk_usage(folder).free, folder
    except (FileNotFoundError, PermissionError):
        return free_bytes(folder.parent)
