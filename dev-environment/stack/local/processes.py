"""The processes that local mode has started, found by their command lines."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil


def of_stack(state: Path) -> list[psutil.Process]:
    """The supervisord and the services that were started for this state folder, supervisord first."""
    marks = (str(state / "run" / "supervisord.conf"), f"all-erp={state}")
    found = [(each, each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    return [process for mark in marks for process, line in found if mark in line]


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
