"""The processes that local mode has started, found by their command lines."""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import psutil


def of_stack(state: Path) -> list[psutil.Process]:
    """The supervisord, the services and the watchers that were started for this state folder, supervisord first."""
    marks = (
        re.escape(str(state / "run" / "supervisord.conf")),
        re.escape(f"all-erp={state}"),
        rf"--config(\.file)?={re.escape(str(state))}/.+",  # a watcher
    )
    found = list(psutil.process_iter(["cmdline"]))  # `info` has None for a process that may not be looked at
    return [
        process
        for mark in marks
        for process in found
        if any(re.fullmatch(mark, argument) for argument in process.info["cmdline"] or ())
    ]


def end(processes: Sequence[psutil.Process], seconds: float = 10.0) -> None:
    """Ask processes to end, and kill those that have not ended after `seconds`."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=seconds)
