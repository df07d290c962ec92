"""The traces of the last hour: an index in memory, whose spans are read from the services' files when somebody looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stack.watch.traces import Span

OUTSIDE = "outside"
"""The caller of what comes from none of the services."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace in the list; times in seconds."""

    trace_id: str
    service: str
    """Of its first span, as `name`, `status` and `seconds` are; what is caused by an event may go on after it."""
    name: str
    start: float
    seconds: float
    status: int | None
    has_failed: bool
    """Whether any of its spans has failed."""
    spans: int
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """What one part of the stack has asked another for."""

    caller: str
    """A service, or `OUTSIDE`."""
    callee: str
    """A service or, of kind `database`, a database."""
    kind: Literal["http", "event", "database"]
    rate: float
    error_ratio: float
    p95: float


class Traces:
    """The index. `skipped` spans were not read, since more was written than could be read."""

    def __init__(self, folders: Mapping[str, Path], ports: Mapping[int, str]) -> None:
        """`folders` of span files by service, and the services by their ports, by which calls are recognised."""
        self.skipped = 0

    def find(
        self,
        *,
        service: str = "",
        route: str = "",
        status: str = "",
        at_least: float = 0.0,
        only_failed: bool = False,
        text: str = "",
        limit: int = 200,
    ) -> list[Trace]:
        """The newest traces first: of any span in `service`, with a request whose name has `route` in it, whose first
        span has `status` ("404" or "4xx") and took `at_least` so many seconds, with `text` in its id, names and errors."""
        raise NotImplementedError

    def neighbours(self, trace_id: str) -> tuple[str | None, str | None]:
        """The ids of the next newer and the next older trace."""
        raise NotImplementedError

    async def spans(self, trace_id: str, most: int = 2000) -> list[Span]:
        """The spans of a trace, the earliest first; those of one that is not in the index are sought in all files."""
        raise NotImplementedError

    def edges(self, seconds: float = 300) -> list[Edge]:
        """Who has called whom in the last seconds."""
        raise NotImplementedError
