"""What the index keeps of a trace: a few hundred bytes, names and services as bits."""

import math
from array import array
from collections.abc import Iterator

from stack.watch.tail import Place
from stack.watch.traces import SERVER, Span

LONGEST_TEXT, LONGEST_ID = 200, 32
# Of one trace. A trace in more parts of files than these is shown by the spans in the first of them.
MOST_PLACES = 4096
# Who has a parent comes after all who have none; in seconds, more than those since 1970.
LATER = 1e12


class Bits:
    """Names as bits, of which a whole number holds many: a thousand names, and nothing for more at the same time."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._bits: dict[str, int] = {}

    def of(self, name: str) -> int:
        """The bit of a name."""
        name = name[:LONGEST_TEXT]
        bit = self._bits.get(name, 0)
        if not bit and not self.is_full:
            taken = sum(self._bits.values())
            bit = self._bits[name] = ~taken & (taken + 1)  # the lowest that is free
        return bit

    @property
    def is_full(self) -> bool:
        """Whether other names have no room."""
        return len(self._bits) >= self._most

    def keep(self, bits: int) -> None:
        """Forget all names but these."""
        self._bits = {name: bit for name, bit in self._bits.items() if bit & bits}

    def containing(self, text: str) -> int:
        """The bits of the names that have this in them, whatever its case."""
        wanted = text.casefold()
        return sum(bit for name, bit in self._bits.items() if wanted in name.casefold())

    def matching(self, text: str) -> int:
        """The bit of the name that is this; if there is none, of those that have it in them."""
        return self._bits.get(text) or self.containing(text)

    def names(self, bits: int) -> Iterator[str]:
        """The names of some bits."""
        return (name for name, bit in self._bits.items() if bit & bits)


class Entry:
    """One trace."""

    __slots__ = (
        "_rank",
        "_read",
        "has_failed",
        "is_request",
        "key",
        "name",
        "names",
        "newest",
        "places",
        "reason",
        "seconds",
        "service",
        "services",
        "spans",
        "start",
        "status",
        "trace_id",
    )

    def __init__(self, trace_id: str, now: float) -> None:
        self.trace_id = trace_id
        self.key = self.start = self.seconds = self.newest = 0.0
        """`key`: its place in the list: when it began or, if a clock is ahead, when it was read; `newest`: the same of
        the span that began last, since a clock may be behind."""
        self.service = self.name = self.reason = ""
        self.status: int | None = None
        self.is_request = self.has_failed = False
        """`is_request`: its first span is that of a request to a service."""
        self.names = self.services = self.spans = 0
        self.places = array("Q")
        self._rank = math.inf
        self._read = now

    def add(self, span: Span) -> None:
        """Take what the list shows of a span. The first is that without a parent, else the one that began first."""
        start = span.start / 1e9
        self.spans += 1
        self.newest = max(self.newest, min(start, self._read))
        if span.has_failed:
            self.has_failed = True
            self.reason = self.reason or span.reason[:LONGEST_TEXT]
        rank = start + LATER if span.parent_id else start
        if rank < self._rank:
            self._rank, self.key = rank, min(start, self._read)
            self.service, self.name, self.start = span.service[:LONGEST_TEXT], span.name[:LONGEST_TEXT], start
            self.seconds = span.seconds
            self.is_request = span.kind == SERVER
            status = str(span.attributes.get("http.response.status_code"))
            self.status = int(status) if len(status) == 3 and status.isdecimal() else None

    def found_at(self, service: int, place: Place) -> None:
        """Remember where spans of it are."""
        where = (place.inode, service << 56 | place.offset)
        if len(self.places) < 2 * MOST_PLACES and tuple(self.places[-2:]) != where:
            self.places.extend(where)

    def where(self) -> Iterator[tuple[int, Place]]:
        """Where its spans are: the service's index and the line."""
        for inode, offset in zip(self.places[::2], self.places[1::2], strict=True):
            yield offset >> 56, Place(inode, offset & (1 << 56) - 1)
