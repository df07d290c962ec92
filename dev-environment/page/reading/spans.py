"""The traces of the last hour: an index in memory, whose spans are read from the services' files when somebody looks."""

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from stack.watch.tail import LONGEST_LINE, Place, Tail
from stack.watch.traces import MALFORMED, Span, of_lines, recorded

from libs.observability.files import rotated
from page.reading.edges import Calls, Edge, Edges, Ends
from page.reading.entries import Entry
from page.reading.index import Index

OUTSIDE = "outside"
"""The caller of what comes from none of the services."""

# Of each service. What is written faster than it is read, or was there before, is skipped up to here.
MOST_BEHIND = 16 * 1024 * 1024
# There is one in each span.
MARK = b'"startTimeUnixNano"'
# After each part of a file, which takes a few milliseconds: the page stays quick while much is read.
PAUSE_SECONDS = 0.005
CLIENT, CONSUMER = 3, 5


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace in the list; times in seconds."""

    trace_id: str
    service: str
    """Of its first span, as `name`, `start`, `seconds` and `status` are; what an event causes may go on after it."""
    name: str
    start: float
    seconds: float
    status: int | None
    has_failed: bool
    """Whether any of its spans has failed."""
    spans: int
    services: tuple[str, ...]


class Traces:
    """The index. `skipped` spans were not read, since more was written than could be read."""

    def __init__(self, folders: Mapping[str, Path], ports: Mapping[int, str]) -> None:
        """`folders` of span files by service, and the services by their ports, by which calls are recognised."""
        self.skipped = 0
        self._files = [folder / "spans.jsonl" for folder in folders.values()]
        self._tails = [Tail(file, with_rotated=True) for file in self._files]
        self._ports = {str(port): service for port, service in ports.items()}
        self._index = Index()
        self._edges = Edges()
        self._is_new = True
        self._whole_since = 0.0
        """Of traces that began earlier, spans may have been skipped."""

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
        """The newest traces first.

        Those with any span of `service`, and one whose name is `route` or has it in it; whose first span has `status`
        ("404" or "4xx") and took `at_least` so many seconds; with `text` in the id, the names, or why they failed.
        """
        found = self._index.find(
            service=service,
            route=route,
            status=status,
            at_least=at_least,
            only_failed=only_failed,
            text=text,
            limit=limit,
        )
        return [self._shown(entry) for entry in found]

    def neighbours(self, trace_id: str) -> tuple[str | None, str | None]:
        """The ids of the next newer and the next older trace."""
        entry, order = self._index.get(trace_id), self._index.ordered()
        if entry is None:
            return None, None
        at = order.index(entry)
        newer = order[at - 1].trace_id if at else None
        return newer, order[at + 1].trace_id if at + 1 < len(order) else None

    def count(self, trace_id: str) -> int:
        """How many spans of a trace the index knows."""
        entry = self._index.get(trace_id)
        return entry.spans if entry else 0

    async def spans(self, trace_id: str, most: int = 2000) -> list[Span]:
        """The spans of a trace, the earliest first; sought in all files if the index does not know where all of them are."""
        if not re.fullmatch("[0-9a-f]{32}", trace_id):
            return []
        entry = self._index.get(trace_id)
        is_whole = entry and entry.key >= self._whole_since
        found = await asyncio.to_thread(self._spans_of, entry, most) if entry and is_whole else []
        if not found:
            folders = [file.parent for file in self._files]
            found = await asyncio.to_thread(lambda: list(islice(recorded(folders, trace_id), most)))
        return sorted(found, key=lambda span: span.start)

    def edges(self, seconds: float = 300) -> list[Edge]:
        """Who has called whom in the last seconds."""
        now = time.time()
        start = min(max(now - seconds, self._index.oldest), now - 1)  # later if the index is full
        outside: dict[str, Calls] = {}
        for entry in self._index.ordered():
            if entry.is_request and start <= entry.key <= now:
                calls = outside.setdefault(entry.service, Calls())
                calls.add(entry.seconds, has_failed=entry.status is None or entry.status >= 500)
        requests = [calls.edge((OUTSIDE, service, "http"), now - start) for service, calls in outside.items()]
        return [*requests, *self._edges.since(now - seconds, now)]

    async def read(self) -> None:
        """Take what has been written since the last time."""
        reading = dict(enumerate(self._tails))
        while reading:  # in turns, so that the parts of a trace come soon after each other
            for number, tail in list(reading.items()):
                if tail.behind() > MOST_BEHIND:
                    skipped = await asyncio.to_thread(tail.skip, MOST_BEHIND, MARK)
                    self._whole_since = time.time()
                    self.skipped += 0 if self._is_new else skipped  # what was there before the page is not missed
                if lines := tail.lines():
                    for place, line in lines:
                        self._take(number, place, line)
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    del reading[number]
            self._index.forget()
            self._is_new = False
        self._edges.forget(time.time())

    def _take(self, number: int, place: Place, line: bytes) -> None:
        """Take the spans of a line of the file with this number."""
        for span in of_lines([line]):
            with suppress(*MALFORMED):  # anything may be in its attributes
                self._index.add(span).found_at(number, place)
                if ends := self._ends(span):
                    self._edges.add(ends, min(span.end / 1e9, time.time()), span.seconds, has_failed=span.has_failed)

    def _ends(self, span: Span) -> Ends | None:
        """Whom the service has called, or whose event it has handled, by this span; None if it did neither."""
        told = span.attributes.get
        if span.kind == CONSUMER and (source := told("cloudevents.event_source")):
            return str(source), span.service, "event"
        if span.kind == CLIENT and (database := told("db.namespace")):
            return span.service, str(database), "database"
        if span.kind == CLIENT and (called := self._ports.get(str(told("server.port")))):
            return span.service, called, "http"
        return None

    def _spans_of(self, entry: Entry, most: int) -> list[Span]:
        lines = (_line(self._files[number], place) for number, place in entry.where())
        spans = (span for span in of_lines(lines) if span.trace_id == entry.trace_id)
        return list(islice(spans, most))

    def _shown(self, entry: Entry) -> Trace:
        services = self._index.services.names(entry.services)
        return Trace(
            entry.trace_id,
            entry.service,
            entry.name,
            entry.start,
            entry.seconds,
            entry.status,
            entry.has_failed,
            entry.spans,
            tuple(sorted(services, key=lambda name: name != entry.service)),
        )


def _line(file: Path, place: Place) -> bytes:
    """The line at this place of the file, whatever its name is by now; of a file that is gone, or was truncated, none."""
    for path in [file, *rotated(file)]:
        with suppress(OSError):
            if path.stat().st_ino == place.inode:
                with path.open("rb") as opened:
                    opened.seek(place.offset)
                    return opened.readline(LONGEST_LINE)
    return b""
