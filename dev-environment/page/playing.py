"""The story and the load, played by child processes as `make demo` and `make load` play them, which end with the page."""

import asyncio
import os
import re
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stack.local import processes
from stack.settings import ROOT

DEMO = ("libs.journey",)
LOAD = ("locust", "--config", "dev-environment/load/locust.conf")
MOST_LINES = 1000
LEFT_OUT = b"(a line that is too long to be read)"
SECONDS_TO_END = 5.0
# As libs.journey prints it: who, what, how long it took, its trace.
STEP = re.compile(r"  (.{18}\S*) (.*?) +(\d+) ms  ([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the story."""

    who: str
    what: str
    milliseconds: int
    trace_id: str


class Child:
    """A child process and its output, of which the last lines are kept."""

    def __init__(self, state: Path, module: Sequence[str]) -> None:
        # The mark is that of every process of this stack: `make down` ends what has it.
        self._command = [sys.executable, "-X", f"all-erp={state}", "-m", *module]
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.began = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def code(self) -> int | None:
        """With what it has ended, if it has."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start it, unless it runs."""
        async with self._changing:
            if self.is_running:
                return
            self.lines.clear()
            self.began = time.time()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            self._reading = asyncio.create_task(self._read(self._process))

    async def stop(self) -> None:
        """End it, and wait until it has ended."""
        async with self._changing:
            if not self._process or not self.is_running:
                return
            for end in (self._process.terminate, self._process.kill):
                with suppress(ProcessLookupError):
                    end()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), SECONDS_TO_END)
                    return

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        while True:
            try:
                if not (line := await process.stdout.readline()):
                    break
            except ValueError:  # longer than asyncio keeps; unless the rest is read too, the child waits for that
                line = LEFT_OUT
            self.lines.append(line.decode(errors="replace").rstrip("\n"))
        await process.wait()


def end_leftovers(state: Path) -> None:
    """End what a page has left that was killed."""
    modules = {DEMO[0], LOAD[0]}
    processes.end([each for each in processes.of_stack(state) if modules & set(each.info["cmdline"])])


def steps(lines: Sequence[str]) -> list[Step | str]:
    """The steps among lines of the story, and the other lines as they are."""
    found: list[Step | str] = []
    for line in lines:
        if step := STEP.fullmatch(line):
            who, what, milliseconds, trace_id = step.groups()
            found.append(Step(who.strip(), what.strip(), int(milliseconds), trace_id))
        elif line.strip():
            found.append(line)
    return found
