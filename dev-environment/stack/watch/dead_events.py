"""Dead events for the operator: a table of the events that nobody tries again, and sending them again.

They are in the outbox of the service that published them and, with a broker, in the dead-letter queue of the service
that refused them.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import quote

from aio_pika import connect
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, ChannelNotFoundEntity
from rich import box
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from libs.service_kit.events import dead_letters, dead_queues
from libs.service_kit.events.dead_letters import DeadEvent, Wanted
from libs.service_kit.events.flow import BROKER
from libs.service_kit.transactions import Sessions
from stack import environment, mode
from stack.errors import SettingError, StackError
from stack.report import console, say
from stack.services import SERVICES, Service, service_named
from stack.settings import Settings
from stack.watch.logs import harmless

CONNECT_SECONDS = 5
IN_WORDS = {"delivery_limit": "refused at every attempt", "rejected": "refused at once"}


class DeadEventsError(StackError):
    """The events could not be listed, or not all of them replayed; the message says why."""


def show(settings: Settings, *, as_json: bool, limit: int) -> None:
    """Print the dead events, at most `limit` of each outbox and queue, and how many more there are."""
    if limit < 1:
        raise SettingError(f"LIMIT must be 1 or more, not {limit}.")
    events, count = asyncio.run(_listed(settings, limit))
    left_out = count - len(events)
    if as_json:
        document = {"events": [asdict(event) for event in events], "not_listed": left_out}
        print(json.dumps(document, indent=2, default=datetime.isoformat))
        return
    if not count:
        say("No event is dead.")
        return
    out = console()
    out.print(_table(events))
    if left_out:
        say(f"{left_out} more: LIMIT={limit + left_out} lists them all.")
    say("`make trace ID=<trace>` shows what happened; once the cause is fixed, `make events-replay` sends them again.")


def wanted(event_id: str | None, service: str | None, *, everything: bool) -> Wanted:
    """What to replay; `SettingError` unless exactly one thing is named."""
    if everything == bool(event_id or service):
        raise SettingError(
            "Say what to replay: ID=<event id> for one event, SERVICE=<name> for those that one service has not accepted, "
            f"SERVICE={BROKER} for those that RabbitMQ has not accepted, or ALL=1 for all. `make events-dead` lists them."
        )
    destination = service if service in (None, BROKER) else service_named(service).short
    return Wanted(event_id.lower() if event_id else None, destination)


def replay(settings: Settings, what: Wanted) -> None:
    """Send dead events again and print each; `DeadEventsError` if there is none."""
    replayed: list[DeadEvent] = []
    try:
        asyncio.run(_replay(settings, what, replayed.append))
    finally:  # also after an interruption: these have been sent
        for event in replayed:
            say(harmless(f"replayed {event.event_id or '(no id)'}  {event.type}  to {event.destination}"))
        if replayed:
            say(f"{len(replayed)} replayed. `make events-dead` shows whether any of them comes back.")
    if not replayed:
        raise DeadEventsError("There is no such dead event: `make events-dead` lists all of them.")


async def _listed(settings: Settings, limit: int) -> tuple[list[DeadEvent], int]:
    found: list[DeadEvent] = []
    count = 0
    for service in SERVICES:
        async with _outbox(settings, service) as sessions:
            events, there = await dead_letters.in_outbox(sessions, service.short, limit)
        found, count = found + events, count + there
    if _has_broker(settings):
        async with _broker(settings) as connection:
            for service in SERVICES:
                with suppress(ChannelNotFoundEntity):  # no service has ever been connected to this broker
                    events, there = await dead_queues.in_queue(connection, service.short, limit)
                    found, count = found + events, count + there
    return found, count


async def _replay(settings: Settings, what: Wanted, report: dead_queues.Moved) -> None:
    for service in SERVICES:
        async with _outbox(settings, service) as sessions:
            for event in await dead_letters.replay_outbox(sessions, service.short, what):
                report(event)
    if _has_broker(settings):
        async with _broker(settings) as connection:
            for service in SERVICES:
                with suppress(ChannelNotFoundEntity):
                    await dead_queues.replay_queue(connection, service.short, what, report)


def _has_broker(settings: Settings) -> bool:
    return mode.remembered(settings) != "local"


@asynccontextmanager
async def _outbox(settings: Settings, service: Service) -> AsyncGenerator[Sessions]:
    engine = create_async_engine(environment.database_url(service.short, settings, role="app"), poolclass=NullPool)
    try:
        yield async_sessionmaker(engine)
    except (OSError, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        raise DeadEventsError(
            f"The database of {service.name} on port {settings.values['POSTGRES_PORT']} does not answer as it should: "
            f"{reason}. `make status` shows what runs, `make up` starts it."
        ) from error
    finally:
        await engine.dispose()


@asynccontextmanager
async def _broker(settings: Settings) -> AsyncGenerator[AbstractConnection]:
    """A connection to RabbitMQ."""
    values = settings.values
    user, password = (quote(values[name], safe="") for name in ("RABBITMQ_USER", "RABBITMQ_PASSWORD"))
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # the error is reported below
    try:
        url = f"amqp://{user}:{password}@127.0.0.1:{values['RABBITMQ_PORT']}/"
        async with await connect(url, timeout=CONNECT_SECONDS) as connection:
            yield connection
    except (OSError, TimeoutError, AMQPError, ChannelInvalidStateError) as error:
        reason = str(error) or type(error).__name__
        raise DeadEventsError(
            f"RabbitMQ on port {values['RABBITMQ_PORT']} failed: {reason}. No event is lost. "
            "`make status` shows what runs; the same command continues from here."
        ) from error


def _table(events: list[DeadEvent]) -> Table:
    table = Table("event", "from, to", "refused", "tenant, trace", box=box.SIMPLE_HEAD, pad_edge=False)
    now = datetime.now(UTC)
    for event in events:
        times = "once" if event.attempts == 1 else f"{event.attempts} times"
        when = _age((now - event.happened_at).total_seconds()) + " old" if event.happened_at else "age unknown"
        table.add_row(
            _cell(event.event_id, event.type),
            _cell(f"{event.source} → {event.destination}", f"{when}, in {event.place}"),
            _cell(times, IN_WORDS.get(event.reason, event.reason.partition("\n")[0])),
            _cell(event.tenant_id, event.trace_id),
        )
    return table


def _cell(*lines: str | None) -> Text:
    return Text("\n".join(harmless(line or "-").replace("\n", " ") for line in lines))


def _age(seconds: float) -> str:
    minutes = max(int(seconds), 0) // 60
    days, hours = minutes // 1440, minutes % 1440 // 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
