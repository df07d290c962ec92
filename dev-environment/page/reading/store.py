"""All that the page reads, kept current by one task."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from stack.settings import Settings

from page.reading.lines import Lines
from page.reading.metrics import Metrics
from page.reading.processes import PAUSE_SECONDS, Processes
from page.reading.spans import Traces

# Of files that are followed.
FOLLOW_SECONDS = 0.5

log = logging.getLogger(__name__)


class Store:
    """The readers of one stack: `Store(settings.read())`."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is read yet, but where the files end."""
        programs = {each.name: settings.port(each.port_variable) for each in settings.programs}
        folders = {kind: {name: settings.state / kind / name for name in programs} for kind in ("traces", "logs")}
        self.traces = Traces(folders["traces"], {port: name for name, port in programs.items()})
        self.lines = Lines(folders["logs"])
        self.metrics = Metrics(programs)
        self.processes = Processes(settings)

    async def run(self) -> None:
        """Keep the readers current until this is cancelled; an error of one is logged and ends neither it nor another."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat(self.processes.read, lambda: PAUSE_SECONDS))
            tasks.create_task(_repeat(self.metrics.read, lambda: self.metrics.pause))
            tasks.create_task(_repeat(self.lines.read, lambda: FOLLOW_SECONDS))
            tasks.create_task(_repeat(self.traces.read, lambda: FOLLOW_SECONDS))


async def _repeat(read: Callable[[], Awaitable[None]], pause: Callable[[], float]) -> None:
    told = ""
    while True:
        try:
            await read()
            told = ""
        except Exception as error:  # whatever it is, the page shows the rest
            if (what := f"{type(error).__name__}: {error}") != told:
                log.warning("%s has failed and goes on: %s", read.__qualname__, what)
            told = what
        await asyncio.sleep(pause())
