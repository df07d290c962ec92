"""The last log lines of all services, in memory as they were written, of the last hour."""

import asyncio
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import orjson
from stack.watch import logs
from stack.watch.logs import Line, parsed, time_of
from stack.watch.tail import Tail

from libs.observability.settings import LEVELS

HOUR = timedelta(hours=1)
MOST_LINES = 20_000
MOST_BYTES = 16 * 1024 * 1024
# Of each service. What is written faster than it is read, or was there before, is skipped up to here.
MOST_BEHIND = 2 * 1024 * 1024
# The services write less: a longer one is something else.
LONGEST = 256 * 1024
MOST_OF_TRACE = 2000
# After each part of a file, so that the page stays quick while much is read.
PAUSE_SECONDS = 0.005
# Lines of one trace are rarely further apart: what happened so long after the beginning of memory is whole in it.
APART = timedelta(minutes=1)


class _Kept(NamedTuple):
    """A line as it is in its file: its values in memory would take several times as much."""

    service: str
    level: str
    raw: bytes

    def line(self) -> Line:
        """Its values."""
        [line] = parsed([self.raw])
        return line


class Lines:
    """The lines by their number, which grows by one with each line; the oldest go first."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """`folders` of log files by service."""
        self.skipped = 0
        """Lines that were not read, since more was written than could be read."""
        self._folders = list(folders.values())
        files = [folder / "combined.log" for folder in self._folders]
        self._tails = [Tail(file, with_rotated=True, longest=LONGEST) for file in files]
        self._kept: deque[_Kept] = deque()
        self._bytes = 0
        self.last = 0
        """The number of the newest."""
        self._is_new = True
        self._whole_since = ""
        """Of what was written earlier, lines may have been skipped."""

    @property
    def first(self) -> int:
        """The number of the oldest that is still here."""
        return self.last - len(self._kept) + 1

    def find(
        self,
        *,
        service: str = "",
        level: str = "",
        tenant: str = "",
        user: str = "",
        trace: str = "",
        text: str = "",
        after: int = 0,
        limit: int = 500,
    ) -> list[tuple[int, Line]]:
        """The newest lines, the newest last.

        Those of `service`, of `level` and above, of the tenant, user and trace whose ids begin so, with `text` anywhere,
        whose number is above `after`.
        """
        levels = LEVELS[LEVELS.index(level) :] if level in LEVELS else ()
        ids = {"tenant_id": tenant, "user_id": user, "trace_id": trace.lower()}
        ids = {name: f'"{name}":{_quoted(start)}'.encode() for name, start in ids.items() if start}
        text = _quoted(text)[1:].casefold()
        found = (
            (number, kept.line())
            for number, kept in takewhile(lambda each: each[0] > after, self._newest())
            if (not service or kept.service == service)
            and (not levels or kept.level in levels)
            and all(each in kept.raw for each in ids.values())
            and (not text or text in kept.raw.decode(errors="replace").casefold())
        )
        return list(islice(found, limit))[::-1]

    async def of_trace(self, trace_id: str) -> list[Line]:
        """The lines of one trace, the oldest first; sought in all files unless memory has all of them."""
        if not re.fullmatch("[0-9a-f]{32}", trace_id):
            return []
        found = [line for _, line in self.find(trace=trace_id, limit=MOST_OF_TRACE)]
        found.sort(key=time_of)
        if found and time_of(found[0]) > max(_later(time_of(self._kept[0].line())), self._whole_since):
            return found
        return await asyncio.to_thread(logs.of_trace, self._folders, trace_id, MOST_OF_TRACE)

    async def read(self) -> None:
        """Take what has been written since the last time."""
        new: list[tuple[str, _Kept]] = []
        for tail in self._tails:
            if tail.behind() > MOST_BEHIND:
                skipped = await asyncio.to_thread(tail.skip, MOST_BEHIND, b"\n")
                self._whole_since = _stamp(datetime.now(UTC))
                self.skipped += 0 if self._is_new else skipped  # what was there before the page is not missed
            while lines := tail.lines():
                for _, raw in lines:
                    for line in parsed([raw]):
                        service, level = sys.intern(str(line.get("service"))), sys.intern(str(line.get("level")))
                        new.append((time_of(line), _Kept(service, level, raw)))
                await asyncio.sleep(PAUSE_SECONDS)
        self._is_new = False
        new.sort(key=itemgetter(0))
        self._kept.extend(kept for _, kept in new)
        self._bytes += sum(len(kept.raw) for _, kept in new)
        self.last += len(new)
        oldest = _stamp(datetime.now(UTC) - HOUR)
        while self._kept and (self._is_full() or time_of(self._kept[0].line()) < oldest):
            self._bytes -= len(self._kept.popleft().raw)

    def _is_full(self) -> bool:
        return len(self._kept) > MOST_LINES or self._bytes > MOST_BYTES

    def _newest(self) -> Iterator[tuple[int, _Kept]]:
        """All with their numbers, the newest first."""
        return zip(range(self.last, 0, -1), reversed(self._kept), strict=False)


def _quoted(text: str) -> str:
    """A text as it begins in JSON, so without the quote at its end."""
    return orjson.dumps(text.encode(errors="replace").decode())[:-1].decode()


def _stamp(moment: datetime) -> str:
    """A moment as lines have it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}"


def _later(timestamp: str) -> str:
    """The same time with `APART` added; of what is no time, one that is later than any."""
    try:
        return _stamp(datetime.fromisoformat(timestamp) + APART)
    except (ValueError, OverflowError):
        return "9"
