"""Who calls whom: calls counted by caller and callee in slots of ten seconds, for an hour."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from page.reading.entries import LONGEST_TEXT
from page.reading.quantiles import quantile

Kind = Literal["http", "event", "database"]
Ends = tuple[str, str, Kind]

SLOT_SECONDS = 10
SLOTS = 3600 // SLOT_SECONDS
# Names come from spans, in which anything may be.
MOST_EDGES = 200
# From 0.1 ms to more than a minute, each a fifth above the one before: a quantile is as exact as that.
BOUNDS = [0.0001 * 1.2**step for step in range(75)]


@dataclass(frozen=True, slots=True)
class Edge:
    """What one part of the stack has asked another for."""

    caller: str
    """A service, or `OUTSIDE`."""
    callee: str
    """A service or, of kind `database`, a database."""
    kind: Kind
    rate: float
    """Calls, events or statements a second."""
    error_ratio: float
    p95: float


class Calls:
    """The calls of one edge: how many of each duration, and how many have failed."""

    __slots__ = ("counts", "failed")

    def __init__(self) -> None:
        self.counts = array("I", [0] * (len(BOUNDS) + 1))
        self.failed = 0

    def add(self, seconds: float, *, has_failed: bool) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.failed += has_failed

    def edge(self, ends: Ends, over: float) -> Edge:
        """These calls as those of so many seconds."""
        count = sum(self.counts)
        p95 = quantile(0.95, BOUNDS, self.counts) or 0.0
        return Edge(*ends, rate=count / over, error_ratio=self.failed / count, p95=p95)


class Edges:
    """The calls of the last hour."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[Ends, Calls]] = {}
        self._known: set[Ends] = set()

    def add(self, ends: Ends, ended: float, seconds: float, *, has_failed: bool) -> None:
        """Count a call that ended then (seconds since 1970)."""
        caller, callee, kind = ends
        ends = caller[:LONGEST_TEXT], callee[:LONGEST_TEXT], kind
        if ends not in self._known:
            if len(self._known) == MOST_EDGES:
                return
            self._known.add(ends)
        edges = self._slots.setdefault(int(ended // SLOT_SECONDS), {})
        if ends not in edges:
            edges[ends] = Calls()
        edges[ends].add(seconds, has_failed=has_failed)

    def forget(self, now: float) -> None:
        """Drop what is older than an hour."""
        oldest = int(now // SLOT_SECONDS) - SLOTS
        for slot in [each for each in self._slots if each < oldest]:
            del self._slots[slot]
        if len(self._known) == MOST_EDGES:
            self._known = {ends for edges in self._slots.values() for ends in edges}

    def since(self, start: float, now: float) -> Iterator[Edge]:
        """The edges with what ended between these times, from the beginning of the first slot on."""
        first, last = int(start // SLOT_SECONDS), int(now // SLOT_SECONDS)
        found: dict[Ends, Calls] = {}
        for slot, edges in self._slots.items():
            if first <= slot <= last:
                for ends, calls in edges.items():
                    total = found.setdefault(ends, Calls())
                    total.failed += calls.failed
                    for index, count in enumerate(calls.counts):
                        total.counts[index] += count
        return (calls.edge(ends, now - first * SLOT_SECONDS) for ends, calls in found.items())
