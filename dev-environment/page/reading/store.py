"""All that the page reads, kept current by one task."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from stack.settings import Settings

from page.reading.lines import Lines
from page.reading.metrics import Metrics
from page.reading.processes import Processes
from page.reading.spans import Traces

# Of files that are followed.
FOLLOW_SECONDS = 0.5
# Until the services are asked again while nobody looks, and while somebody does: a page of metrics takes a service some
# 30 ms, in which it does nothing else. They are asked at once when a process has come, gone or become ready: numbers
# beside a service that has stopped would be false.
SCRAPE_SECONDS = (15.0, 5.0)
STATE_SECONDS = (5.0, 0.25)
# Who begins to look waits no longer than this for what is due sooner now.
WAKE_SECONDS = 0.25
# For files, services and supervisord at a time.
MOST_WAITS = 32

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
        self._scraped: dict[str, tuple[str, int | None]] = {}
        """State and process of everything that runs, at the last scrape."""

    async def run(self) -> None:
        """Keep the readers current until this is cancelled; an error of one is logged and ends neither it nor another."""
        # asyncio's own pool has as few as five: services that do not answer, and searches of all files, would hold up the rest.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MOST_WAITS, thread_name_prefix="read"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat(self.processes.read, lambda: STATE_SECONDS[self.metrics.is_watched]))
            tasks.create_task(_repeat(self._scrape, self._scrape_pause))
            tasks.create_task(_repeat(self.lines.read, lambda: FOLLOW_SECONDS))
            tasks.create_task(_repeat(self.traces.read, lambda: FOLLOW_SECONDS))

    async def _scrape(self) -> None:
        self._scraped = self._states()
        await self.metrics.read()

    def _scrape_pause(self) -> float:
        return SCRAPE_SECONDS[self.metrics.is_watched] if self._states() == self._scraped else 0.0

    def _states(self) -> dict[str, tuple[str, int | None]]:
        return {name: (each.state, each.pid) for name, each in self.processes.states().items()}


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
        due = time.monotonic()
        while (left := due + pause() - time.monotonic()) > 0:
            await asyncio.sleep(min(left, WAKE_SECONDS))
