"""The relay: takes committed events out of the outbox and hands them to a transport, in order, at least once.

One relay per destination works at a time, in whichever replica holds its lock, so the events of one entity keep their
order. Only an event that its consumer refuses is overtaken, until it is tried again. A relay is woken by a commit in its
own process, and by `watch`, which checks once a second, for all destinations, whether an event is due.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from prometheus_client import Gauge
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import literal

from libs.observability import get_logger
from libs.observability.messaging import Message, sending
from libs.service_kit import availability
from libs.service_kit.answers import Refused
from libs.service_kit.database import as_relay, execute
from libs.service_kit.errors import ServiceError
from libs.service_kit.events.metrics import COUNTERS, DEAD
from libs.service_kit.events.outbox import Outbox
from libs.service_kit.settings import EventSettings
from libs.service_kit.tables import OutboxRow
from libs.service_kit.transactions import Sessions, after_commit

log = get_logger(__name__)

POLL_SECONDS = 1.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 5.0

UNSENT = Gauge("outbox_unsent_rows", "Events waiting in the outbox", ["destination"])
OLDEST = Gauge("outbox_oldest_unsent_seconds", "Age of the oldest event waiting in the outbox", ["destination"])

_TRY_LOCK = "pg_try_advisory_xact_lock(hashtextextended($2, 0))"
_MARK = "update outbox set published_at = now() where destination = $1 and event_id = any($2)"
_WAITING = """select destination, count(*) as unsent, bool_or(next_attempt_at <= now()) as is_due,
extract(epoch from now() - min(created_at))::float as oldest
from outbox where published_at is null and failed_at is null group by destination"""


class Undelivered(Exception):
    """The destination cannot be reached, or does not answer; the cause says why."""


class Transport(Protocol):
    """How events reach a destination: `http.HttpTransport`, or `rabbitmq.RabbitTransport`."""

    system: str
    """The `messaging.system` of the spans."""
    operation: str
    """What the system calls sending."""

    def place(self, destination: str, event_type: str) -> tuple[str, str | None]:
        """The name of the queue or path to which events of this type go, and their routing key, as the spans show them."""
        ...

    async def send(self, destination: str, envelopes: Sequence[dict[str, Any]]) -> list[str | None]:
        """Send the events. Returns, for each, None when it was accepted, else the reason.

        Raises when the destination cannot be reached; then none was accepted.
        """
        ...


@dataclass(frozen=True)
class Relay:
    """The relay of one destination."""

    service: str
    destination: str
    sessions: Sessions
    transport: Transport
    settings: EventSettings
    waker: asyncio.Event
    back: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the destination can be reached again, by a transport that notices."""

    async def run(self) -> None:
        """Relay until cancelled. What does not answer is tried again after a growing pause, or at a sign that it is back.

        A commit of this process, or a look of `watch`, is the sign of the database.
        """
        failures = undelivered = 0
        told = availability.Failures("events could not be sent", ServiceError, Refused)
        while True:
            self.waker.clear()
            try:
                full = await self.relay_batch() == self.settings.batch_size
                if undelivered:
                    log.info("events are sent again", destination=self.destination, failures=undelivered)
                    told.begin_anew()
                failures = undelivered = 0
            except Exception as error:
                failures += 1
                # An `OSError` of the transport says nothing about the database.
                cause = error.__cause__ if isinstance(error, Undelivered) else None
                is_database = not cause and availability.note(error)
                if not is_database:
                    undelivered += 1
                    told.tell(cause or error, destination=self.destination)
                pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS)
                await _sign_within(pause, self.waker if is_database else self.back)
                continue
            if not full:
                await self.waker.wait()

    async def relay_batch(self) -> int:
        """Send one batch and return how many rows it had. Raises `Undelivered` when the destination cannot be reached."""
        async with self.sessions.begin() as session:
            if not await as_relay(session, self.service, _TRY_LOCK, f"relay {self.destination}"):
                return 0  # another replica holds the lock
            rows = await self._oldest(session)
            if rows:
                refusals = await self._send(rows)
                await self._mark(session, rows, refusals)
        return len(rows)

    async def _oldest(self, session: AsyncSession) -> Sequence[OutboxRow]:
        unsent = (
            OutboxRow.destination == self.destination,
            OutboxRow.published_at.is_(None),
            OutboxRow.failed_at.is_(None),
            OutboxRow.next_attempt_at <= func.now(),
        )
        due = select(OutboxRow).where(*unsent).order_by(OutboxRow.position).limit(self.settings.batch_size)
        return (await session.scalars(due)).all()

    async def _send(self, rows: Sequence[OutboxRow]) -> list[str | None]:
        try:
            with ExitStack() as spans:
                envelopes: list[dict[str, Any]] = []
                for row in rows:
                    sent = sending(self._message(row), row.carrier, COUNTERS, self.transport.operation)
                    context = spans.enter_context(sent)
                    # CloudEvents attributes have no underscore: request_id travels as requestid.
                    envelopes.append(row.envelope | {name.replace("_", ""): value for name, value in context.items()})
                return await self.transport.send(self.destination, envelopes)
        except Exception as error:
            raise Undelivered from error

    def _message(self, row: OutboxRow) -> Message:
        envelope = row.envelope
        name, routing_key = self.transport.place(self.destination, envelope["type"])
        return Message(
            id=str(row.event_id),
            type=envelope["type"],
            source=envelope["source"],
            happened_at=row.created_at.timestamp(),
            system=self.transport.system,
            destination=name,
            routing_key=routing_key,
            attempt=row.attempts + 1,
        )

    async def _mark(self, session: AsyncSession, rows: Sequence[OutboxRow], refusals: Sequence[str | None]) -> None:
        taken = [row.event_id for row, refusal in zip(rows, refusals, strict=True) if refusal is None]
        await execute(session, _MARK, self.destination, taken)
        for row, refusal in zip(rows, refusals, strict=True):
            if refusal is not None:
                after_commit(session, self._put_off(row, refusal))

    def _put_off(self, row: OutboxRow, refusal: str) -> Callable[[], None]:
        """Record the refusal in the row. Returns the function that reports it after the commit."""
        row.attempts += 1
        row.error = refusal
        pause = self.settings.retry_seconds * 2 ** (row.attempts - 1)
        facts = {"event_id": str(row.event_id), "event_type": row.envelope["type"], "destination": self.destination}
        if row.attempts < self.settings.max_attempts:
            row.next_attempt_at = func.now() + literal(pause) * text("interval '1 second'")
            more = {"attempts": row.attempts, "retry_in_seconds": pause, "reason": refusal}
            return partial(log.warning, "event put off", **facts, **more)
        row.failed_at = func.now()
        return partial(self._report_death, attempts=row.attempts, reason=refusal, **facts)

    def _report_death(self, **facts: Any) -> None:
        DEAD.labels(facts["event_type"], self.destination).inc()
        log.error("event given up", **facts)


async def _sign_within(seconds: float, sign: asyncio.Event) -> None:
    """Wait so long, or until the sign is given; one that was given earlier has been of no use."""
    sign.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await sign.wait()


async def watch(service: str, sessions: Sessions, outbox: Outbox) -> None:
    """Once a second, until cancelled, update the gauges of the outbox and wake the relays that have an event due.

    Such an event was committed by another process, or is due for another attempt.
    """
    while True:
        waiting = await _waiting(service, sessions)
        for destination in outbox.wakers:
            unsent, oldest, _ = waiting.get(destination, (0, 0.0, False))
            UNSENT.labels(destination).set(unsent)
            OLDEST.labels(destination).set(oldest)
        outbox.wake(destination for destination, (_, _, is_due) in waiting.items() if is_due)
        await asyncio.sleep(POLL_SECONDS)


async def _waiting(service: str, sessions: Sessions) -> dict[str, tuple[int, float, bool]]:
    """By destination: how many events wait, the age of the oldest in seconds, and whether one of them is due."""
    async with sessions.begin() as session:
        await as_relay(session, service)
        waiting = await execute(session, _WAITING)
        return {row["destination"]: (row["unsent"], row["oldest"], row["is_due"]) for row in waiting}
