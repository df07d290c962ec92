"""The services' log files in containers. In Docker mode they are in a volume, which is read through a service's container."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from stack import scale
from stack.docker import engine
from stack.errors import SettingError
from stack.services import PROGRAMS, SERVICES, Service

LOGS = "/var/log/app"


def _in_a_container(command: str) -> Iterator[str]:
    running = sorted(engine.running() & {each.name for each in SERVICES})
    if not running:
        raise engine.EngineError("No service runs, and the log files are read through one: `make up` starts them.")
    return engine.lines("exec", "-T", running[0], "sh", "-c", command)


def lines(
    services: Sequence[Service],
    before: int | None = None,
    printed_by: Callable[[str], Iterable[str]] = _in_a_container,
) -> Iterable[str]:
    """The lines of services' log files; with `before` the last ones, that many of each, then each new one without an end."""
    if before is None:
        return printed_by(f"cat {' '.join(f'{file}*' for each in services for file in _log_files(each))} 2>/dev/null")
    return printed_by(following(services, before))


def following(services: Sequence[Service], before: int | None) -> str:
    """The shell's command for the last lines of services' log files, that many of each or all, then each new one without an end."""
    # Each by its name, which a pattern would not find before it is there: `tail -F` waits for it.
    folders = ("", *(f"{number}/" for number in range(2, scale.MOST + 1)))
    files = [f"{LOGS}/{each.name}/{folder}combined.log" for each in services for folder in folders]
    return f"tail -q -s 0.2 -n {'+1' if before is None else before} -F {' '.join(files)} 2>/dev/null"


def whole_trace_id(beginning: str, printed_by: Callable[[str], Iterable[str]] = _in_a_container) -> str:
    """The only trace id in the log lines that begins so; `SettingError` if there is none, or more than one."""
    if not re.fullmatch(r"[0-9a-f]{1,32}", beginning.lower()):
        raise SettingError(f"A trace id has 32 digits from 0 to f, and {beginning!r} does not begin one.")
    files = " ".join(f"{file}*" for each in PROGRAMS for file in _log_files(each))
    wanted = f'grep -ohE \'"trace_id": ?"{beginning.lower()}[0-9a-f]*\' {files} 2>/dev/null'
    found = sorted({line.strip().rpartition('"')[2] for line in printed_by(wanted)})
    if not found:
        raise SettingError(f"No log line has a trace id that begins with {beginning!r}.")
    if len(found) > 1:
        raise SettingError(f"{beginning!r} begins {len(found)} traces: {', '.join(found[:5])}.")
    return found[0]


def _log_files(service: Service) -> Iterator[str]:
    """The patterns of a shell for the first instance's file and for those of the others."""
    return (f"{LOGS}/{service.name}/{each}combined.log" for each in ("", "[0-9]*/"))
