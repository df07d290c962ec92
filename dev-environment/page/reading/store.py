"""All that the page reads, kept current by one task."""

from stack.settings import Settings

from page.reading.lines import Lines
from page.reading.metrics import Metrics
from page.reading.processes import Processes
from page.reading.spans import Traces


class Store:
    """The readers of one stack: `Store(settings.read())`."""

    traces: Traces
    lines: Lines
    metrics: Metrics
    processes: Processes

    def __init__(self, settings: Settings) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        """Keep the readers current until this is cancelled; an error of one is logged and ends neither it nor another."""
        raise NotImplementedError
