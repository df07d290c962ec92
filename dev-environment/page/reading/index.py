"""The list of the last traces, the newest first: filled span by span, bounded in count and age."""

import time
from collections.abc import Iterator
from functools import reduce
from itertools import islice
from operator import or_

from stack.watch.traces import Span

from page.reading.entries import LONGEST_ID, Bits, Entry

HOUR = 3600.0
MOST_TRACES = 20_000
# How many more there may be before the oldest go, all at a time.
SURPLUS = 1000


class Index:
    """The traces by their id and in their order."""

    def __init__(self) -> None:
        self.oldest = time.time() - HOUR
        """Traces of which no span began later are not in here."""
        self.names = Bits()
        self.services = Bits(50)
        self._entries: dict[str, Entry] = {}
        self._order: list[Entry] | None = None

    def add(self, span: Span) -> Entry:
        """Take a span; returns its trace, which `forget` drops if it is too old."""
        trace_id = span.trace_id[:LONGEST_ID]
        entry = self._entries.get(trace_id)
        if entry is None:
            entry = self._entries[trace_id] = Entry(trace_id, time.time())
        self._order = None
        entry.add(span)
        entry.services |= self.services.of(span.service)
        entry.names |= self.names.of(span.name)
        if error := span.attributes.get("error.type"):
            entry.names |= self.names.of(str(error))
        return entry

    def forget(self) -> None:
        """Drop what is older than an hour, and the oldest of too many."""
        self.oldest = max(self.oldest, time.time() - HOUR)
        if len(self._entries) > MOST_TRACES + SURPLUS:
            newest = sorted(each.newest for each in self._entries.values())
            self.oldest = max(self.oldest, newest[-MOST_TRACES])
        for entry in [each for each in self._entries.values() if each.newest < self.oldest]:
            del self._entries[entry.trace_id]
            self._order = None
        if self.names.is_full:
            self.names.keep(reduce(or_, (each.names for each in self._entries.values()), 0))
        if self.services.is_full:
            self.services.keep(reduce(or_, (each.services for each in self._entries.values()), 0))

    def get(self, trace_id: str) -> Entry | None:
        """The trace with this id, if it is in here."""
        return self._entries.get(trace_id)

    def ordered(self) -> list[Entry]:
        """All, the newest first."""
        if self._order is None:
            self._order = sorted(self._entries.values(), key=lambda entry: entry.key, reverse=True)
        return self._order

    def find(
        self, *, service: str, route: str, status: str, at_least: float, only_failed: bool, text: str, limit: int
    ) -> Iterator[Entry]:
        """The newest that match all that is asked for."""
        services, routes = self.services.matching(service), self.names.matching(route)
        names, text = self.names.containing(text), text.casefold()

        def is_wanted(entry: Entry) -> bool:
            return (
                (not service or bool(entry.services & services))
                and (not route or bool(entry.names & routes))
                and (not status or status in (str(entry.status), f"{(entry.status or 0) // 100}xx"))
                and entry.seconds >= at_least
                and (entry.has_failed or not only_failed)
                and (not text or bool(entry.names & names) or text in entry.trace_id or text in entry.reason.casefold())
            )

        return islice(filter(is_wanted, self.ordered()), limit)
