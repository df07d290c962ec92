"""What a run has seen of each fault, which promises it breaks, and the table of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

READY_WITHIN_SECONDS = 15.0
WORKS_WITHIN_SECONDS = 30.0
"""A circuit breaker and a client's own pauses come after it."""
MOST_MEMORY_BYTES = 200 * 1024 * 1024
"""Of each service; the limit of its container is 256 MiB."""
MOST_LOG_BYTES_PER_SECOND = 200_000
"""Of all services together."""


@dataclass(frozen=True)
class Attempt:
    """One request of a writer: when it was sent, how long it took, and what failed, if anything."""

    at: float
    seconds: float
    service: str
    failure: str


@dataclass
class Row:
    """One fault: what was done to which part, and what was seen until the next one."""

    part: str
    fault: str
    is_telemetry: bool
    began: float
    """In seconds since 1970, as all times here."""
    returned: float = 0.0
    ended: float = 0.0
    ready_after: float | None = None
    """Seconds from the part's return until every service is ready; None if that took too long to wait for."""
    started_after: float = 0.0
    """Seconds that a service's own process has taken to start; no promise is made of them."""
    alert: str = "–"
    problems: list[str] = field(default_factory=list[str])
    log_bytes: int = 0
    requests: int = 0
    failed: int = 0
    slowest: float = 0.0
    works_after: float = 0.0
    """Seconds from the part's return until the last request that failed was sent."""
    lost: int = 0
    doubled: int = 0

    def count(self, attempts: Iterable[Attempt], lost: Iterable[float], doubled: Iterable[float]) -> None:
        """Take what belongs to this fault: what began between its beginning and its end."""
        mine = [each for each in attempts if self._has(each.at)]
        failed = [each for each in mine if each.failure]
        self.requests, self.failed = len(mine), len(failed)
        self.slowest = max((each.seconds for each in mine), default=0.0)
        self.works_after = max((each.at - self.returned for each in failed), default=0.0)
        self.lost, self.doubled = sum(map(self._has, lost)), sum(map(self._has, doubled))

    def _has(self, moment: float) -> bool:
        return self.began <= moment < self.ended

    def broken(self) -> list[str]:
        """The promises that this fault has broken."""
        found = list(self.problems)
        if self.is_telemetry and self.failed:
            found.append(f"{self.failed} requests failed for telemetry's sake")
        if self.ready_after is None or self.ready_after > self.started_after + READY_WITHIN_SECONDS:
            after = "at all" if self.ready_after is None else f"before {self.ready_after:.1f} s"
            found.append(f"not every service was ready again {after}")
        if self.works_after > self.started_after + WORKS_WITHIN_SECONDS:
            found.append(f"requests still failed {self.works_after:.1f} s after the part's return")
        if self.log_bytes > (self.ended - self.began) * MOST_LOG_BYTES_PER_SECOND:
            found.append(f"{self.log_bytes:,} bytes were logged in {self.ended - self.began:.0f} s")
        if self.lost:
            found.append(f"{self.lost} acknowledged writes are lost")
        if self.doubled:
            found.append(f"{self.doubled} effects happened twice")
        return [f"{self.part}, {self.fault}: {each}" for each in found]


COLUMNS = (
    "part",
    "fault",
    "requests",
    "failed",
    "slowest",
    "ready after",
    "works after",
    "lost",
    "doubled",
    "log kB/s",
    "alert",
)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- | --- |" + " ---: |" * (len(COLUMNS) - 3) + " --- |"]
    for each in rows:
        ready = "never" if each.ready_after is None else f"{each.ready_after:.1f} s"
        logged = each.log_bytes / max(each.ended - each.began, 1) / 1000
        cells = (each.part, each.fault, f"{each.requests:,}", each.failed, f"{each.slowest:.1f} s", ready,
                 f"{max(each.works_after, 0):.1f} s", each.lost, each.doubled, f"{logged:.0f}", each.alert)  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
