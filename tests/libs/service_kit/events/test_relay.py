"""The relay hands committed events over in order, at least once, and one bad event does not hold up the others."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from opentelemetry.trace import SpanKind
from prometheus_client import REGISTRY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from libs.contracts import CloudEvent
from libs.contracts.budget import AccountOpened
from libs.service_kit import availability
from libs.service_kit.events import relay as kit
from libs.service_kit.events.outbox import Outbox, publish
from libs.service_kit.events.relay import Relay, Undelivered
from libs.service_kit.settings import EventSettings
from libs.service_kit.transactions import Sessions, create_sessions, transaction
from tests.fixtures.waiting import eventually_async

Publish = Callable[..., Awaitable[None]]
MakeRelay = Callable[..., Relay]
State = Callable[[str], Any]


class Post:
    """A transport that keeps what it is given, and refuses or fails on demand."""

    system, operation = "post", "hand over"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.envelopes: list[CloudEvent] = []
        self.refused: dict[str, str] = {}
        self.away = False
        self.arrived = asyncio.Event()
        self.held: asyncio.Event | None = None

    def place(self, destination: str, event_type: str) -> tuple[str, str | None]:
        """See `relay.Transport`."""
        return "post office", "a key"

    async def send(self, destination: str, envelopes: Sequence[dict[str, Any]]) -> list[str | None]:
        """See `relay.Transport`."""
        self.arrived.set()
        if self.held:
            async with asyncio.timeout(5):
                await self.held.wait()
        if self.away:
            raise ConnectionError("away")
        read = [CloudEvent.model_validate(envelope) for envelope in envelopes]
        self.envelopes += read
        self.batches.append([envelope.data["code"] for envelope in read])
        return [self.refused.get(code) for code in self.batches[-1]]

    @property
    def codes(self) -> list[str]:
        """The codes of the events in the order of their arrival."""
        return [code for batch in self.batches for code in batch]


@pytest.fixture
async def post() -> Post:
    """How this test's events are sent."""
    return Post()


@pytest.fixture
def happen(writing: Sessions, tenant_id: UUID) -> Publish:
    """Commit an event for each code, each in its own transaction: `await happen("a", "b")`."""

    async def commit(*codes: str, tenant_id: UUID = tenant_id) -> None:
        for code in codes:
            async with transaction(writing, tenant_id) as session:
                publish(session, AccountOpened(account_id=uuid4(), code=code, name="An account"))

    return commit


@pytest.fixture
def make_relay(writing: Sessions, outbox: Outbox, destination: str, post: Post) -> MakeRelay:
    """A relay to this test's destination: `make_relay(batch_size=2)`. Its pauses may be shorter than a service's."""

    def make(**settings: Any) -> Relay:
        chosen = EventSettings().model_copy(update=settings)
        return Relay("probe", destination, writing, post, chosen, outbox.wakers[destination])

    return make


@pytest.fixture
def state_of(superuser: asyncpg.Connection, destination: str) -> State:
    """What the outbox knows about the event with a code."""
    return lambda code: superuser.fetchrow(
        "select *, next_attempt_at > now() as is_put_off from outbox"
        " where destination = $1 and envelope->'data'->>'code' = $2",
        destination,
        code,
    )


def working(relay: Relay) -> AbstractAsyncContextManager[None]:
    return working_beside(relay.run())


@asynccontextmanager
async def working_beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def sent(post: Post, *codes: str) -> None:
    while set(codes) - set(post.codes):
        post.arrived.clear()
        await post.arrived.wait()
        await asyncio.sleep(0)


async def until_unsent(rows: int, destination: str) -> None:
    """Return when the gauge shows that so many events wait for the destination."""

    async def is_shown() -> bool:
        return REGISTRY.get_sample_value("outbox_unsent_rows", {"destination": destination}) == rows

    await eventually_async(is_shown, 10, f"the gauge does not show {rows}")


async def test_events_are_sent_in_order_and_in_batches(happen, make_relay, post):
    await happen("a", "b", "c", "d", "e")
    relay = make_relay(batch_size=2)
    assert [await relay.relay_batch() for _ in range(4)] == [2, 2, 1, 0]
    assert post.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_events_of_every_tenant_are_sent(happen, make_relay, post):
    tenants = [uuid4() for _ in range(3)]
    for number, tenant_id in enumerate(tenants):
        await happen(f"n{number}", tenant_id=tenant_id)
    await make_relay().relay_batch()
    assert [envelope.tenantid for envelope in post.envelopes] == tenants


async def test_a_refused_event_is_put_off_and_the_others_are_marked(happen, make_relay, post, state_of):
    post.refused = {"b": "not now"}
    await happen("a", "b", "c")
    relay = make_relay(retry_seconds=60)
    assert [await relay.relay_batch() for _ in range(2)] == [3, 0]
    b = await state_of("b")
    assert (b["attempts"], b["error"], b["is_put_off"]) == (1, "not now", True)
    assert (b["published_at"], b["failed_at"]) == (None, None)
    assert (await state_of("a"))["published_at"]
    assert (await state_of("c"))["published_at"]


async def test_the_pause_doubles_with_each_attempt(happen, make_relay, post, superuser, destination):
    post.refused = {"a": "not now"}
    await happen("a")
    pauses: list[float] = []
    for _ in range(3):
        await make_relay(retry_seconds=60).relay_batch()
        left = "select extract(epoch from next_attempt_at - now())::float from outbox where destination = $1"
        pauses.append(await superuser.fetchval(left, destination))
        await superuser.execute("update outbox set next_attempt_at = now() where destination = $1", destination)
    assert [round(pause / 60) for pause in pauses] == [1, 2, 4]


async def test_after_the_last_attempt_an_event_is_given_up(happen, make_relay, post, state_of, destination):
    post.refused = {"poison": "never"}
    await happen("poison")
    relay = make_relay(max_attempts=3, retry_seconds=1e-6)
    assert [await relay.relay_batch() for _ in range(5)] == [1, 1, 1, 0, 0]
    await happen("after")
    await relay.relay_batch()
    poison = await state_of("poison")
    assert (poison["attempts"], poison["error"], poison["published_at"]) == (3, "never", None)
    assert poison["failed_at"]
    assert (await state_of("after"))["published_at"]
    labels = {"event_type": "account.opened.v1", "destination": destination}
    assert REGISTRY.get_sample_value("events_dead_total", labels) == 1


async def test_an_event_counts_as_given_up_only_when_that_is_committed(
    happen, make_relay, post, state_of, destination, superuser
):
    post.refused = {"poison": "never"}
    await happen("poison")
    await superuser.execute(
        "create or replace function doom() returns trigger language plpgsql"
        " as $$ begin raise exception 'doomed' using errcode = '53400'; end $$"
    )
    await superuser.execute(
        "create constraint trigger doom after update on outbox deferrable initially deferred"
        f" for each row when (new.destination = '{destination}') execute function doom()"
    )
    try:
        with pytest.raises(DBAPIError, match="doomed"):
            await make_relay(max_attempts=1).relay_batch()
    finally:
        await superuser.execute("drop trigger doom on outbox")
    labels = {"event_type": "account.opened.v1", "destination": destination}
    assert not REGISTRY.get_sample_value("events_dead_total", labels)
    await make_relay(max_attempts=1).relay_batch()
    assert REGISTRY.get_sample_value("events_dead_total", labels) == 1


async def test_a_destination_that_is_away_costs_no_attempt(happen, make_relay, post, state_of):
    post.away = True
    await happen("a", "b")
    relay = make_relay(max_attempts=1)
    for _ in range(3):
        with pytest.raises(Undelivered) as raised:
            await relay.relay_batch()
        assert isinstance(raised.value.__cause__, ConnectionError)
    assert (await state_of("a"))["attempts"] == 0
    post.away = False
    await relay.relay_batch()
    assert post.codes == ["a", "b"]


async def test_the_span_of_an_event_that_could_not_be_sent_says_why(happen, make_relay, post, spans):
    post.away = True
    await happen("a")
    with pytest.raises(Undelivered):
        await make_relay().relay_batch()
    [span] = [span for span in spans() if span.kind is SpanKind.PRODUCER]
    assert (span.attributes["error.type"], span.status.description) == ("ConnectionError", "away")


async def test_a_running_relay_goes_on_when_its_destination_is_back(happen, make_relay, post, monkeypatch, caplog):
    monkeypatch.setattr(kit, "LONGEST_PAUSE_SECONDS", 0.01)
    post.away = True
    await happen("a", "b")
    async with working(make_relay()):
        for _ in range(3):
            post.arrived.clear()
            await post.arrived.wait()
        post.away = False
        await sent(post, "a", "b")

        async def is_told() -> bool:
            return "events are sent again" in caplog.messages

        await eventually_async(is_told, 10)
    assert post.codes == ["a", "b"]
    [away] = [record for record in caplog.records if record.getMessage() == "events could not be sent"]
    assert not away.exc_info
    assert "a dependency does not answer" not in caplog.messages
    assert vars(away)["_fields"]["error"] == {"type": "ConnectionError", "message": "away"}


async def test_a_pause_ends_at_the_sign_that_the_destination_is_back(happen, make_relay, post, monkeypatch):
    """An earlier sign is none, and neither is a commit: it says nothing about the destination."""
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(kit, name, 3600)
    relay = make_relay()
    relay.back.set()
    post.away = True
    await happen("a")
    async with working(relay):
        await post.arrived.wait()
        post.arrived.clear()
        post.away = False
        await happen("b")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await post.arrived.wait()
        relay.back.set()
        await sent(post, "a", "b")


async def test_a_pause_ends_with_a_commit_if_it_was_the_database_that_was_away(happen, make_relay, post, monkeypatch):
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(kit, name, 3600)
    relay, tried = make_relay(), asyncio.Event()
    away = create_sessions(create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none"))

    class Sessions:
        """Those of a database that is away at first."""

        def begin(self) -> AbstractAsyncContextManager[Any]:
            now = relay.sessions if tried.is_set() else away
            tried.set()
            return now.begin()

    async with working(dataclasses.replace(relay, sessions=Sessions())):
        await tried.wait()
        await asyncio.sleep(0.1)  # the attempt fails
        await happen("a")
        await sent(post, "a")


async def test_a_database_that_is_back_is_no_end_of_trouble_with_the_destination(
    happen, make_relay, post, monkeypatch, caplog
):
    monkeypatch.setattr(kit, "LONGEST_PAUSE_SECONDS", 0.001)
    away = create_sessions(create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none"))
    relay = make_relay()
    asked: list[None] = []

    class Sessions:
        """Those of a database that is away at first."""

        def begin(self) -> AbstractAsyncContextManager[Any]:
            asked.append(None)
            return (away if len(asked) <= 3 else relay.sessions).begin()

    await happen("a")
    async with working(dataclasses.replace(relay, sessions=Sessions())):
        await sent(post, "a")
    assert "events are sent again" not in caplog.messages


async def test_a_database_that_is_away_is_told_once_and_counted(make_relay, monkeypatch, caplog):
    monkeypatch.setattr(kit, "LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(availability, "DATABASE", availability.Dependency("the relay's database"))
    away = create_sessions(create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none"))

    async def is_counted() -> bool:
        labels = {"dependency": "the relay's database"}
        return (REGISTRY.get_sample_value("dependency_refused_requests_total", labels) or 0) > 5

    async with working(dataclasses.replace(make_relay(), sessions=away)):
        await eventually_async(is_counted, 10)
    assert caplog.messages == ["a dependency does not answer"]


async def test_a_commit_wakes_the_relay(happen, make_relay, post):
    async with working(make_relay()):
        for code in ("a", "b", "c"):
            await happen(code)
            await sent(post, code)
    assert post.codes == ["a", "b", "c"]


async def test_a_commit_wakes_only_the_relay_of_its_destination(happen, outbox, destination):
    other = outbox.wakers["another"] = asyncio.Event()
    await happen("a")
    assert outbox.wakers[destination].is_set()
    assert not other.is_set()


async def test_what_another_process_has_committed_or_is_to_be_tried_again_is_found(
    happen, make_relay, post, outbox, sessions, destination
):
    waker = outbox.wakers.pop(destination)
    await happen("a", "refused once")
    assert not waker.is_set()
    outbox.wakers[destination] = waker
    post.refused = {"refused once": "not now"}

    async def has_come_again() -> bool:
        return post.codes.count("refused once") >= 2

    async with working(make_relay(retry_seconds=1e-6)), working_beside(kit.watch("probe", sessions, outbox)):
        await sent(post, "a")
        post.refused = {}
        await eventually_async(has_come_again, 10, "the refused event has not come again")


async def test_nothing_wakes_a_relay_whose_events_are_not_due(
    happen,
    make_relay,
    post,
    outbox,
    sessions,
    destination,
    monkeypatch,
):
    monkeypatch.setattr(kit, "POLL_SECONDS", 0.01)
    post.refused = {"a": "not now"}
    await happen("a", "b")
    await make_relay(retry_seconds=60).relay_batch()
    waker = outbox.wakers[destination]
    waker.clear()
    async with working_beside(kit.watch("probe", sessions, outbox)):
        await until_unsent(1, destination)
    assert (REGISTRY.get_sample_value("outbox_oldest_unsent_seconds", {"destination": destination}) or 0) > 0
    assert not waker.is_set()


async def test_a_destination_for_which_nothing_waits_any_more_shows_none(
    happen, make_relay, outbox, sessions, destination
):
    kit.UNSENT.labels(destination).set(7)
    async with working_beside(kit.watch("probe", sessions, outbox)):
        await until_unsent(0, destination)


async def test_of_two_relays_one_works_and_each_event_is_sent_once(happen, make_relay, post):
    await happen("a", "b")
    post.held = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(make_relay().relay_batch())
        await post.arrived.wait()
        assert await make_relay().relay_batch() == 0
        post.held.set()
    assert first.result() == 2
    assert await make_relay().relay_batch() == 0
    assert post.codes == ["a", "b"]


async def test_a_crash_between_sending_and_marking_repeats_the_batch(happen, make_relay, post, superuser):
    await happen("a", "b")
    post.held = asyncio.Event()
    crashing = asyncio.create_task(make_relay().relay_batch())
    async with asyncio.timeout(10):
        await post.arrived.wait()
    holder = "select pid from pg_stat_activity where state = 'idle in transaction' and datname = 'probe'"
    for (pid,) in await superuser.fetch(holder):
        await superuser.execute("select pg_terminate_backend($1)", pid)
    post.held.set()
    with pytest.raises(DBAPIError):  # what it says depends on how far the driver has noticed
        await crashing
    assert await make_relay().relay_batch() == 2
    assert post.codes == ["a", "b", "a", "b"]


async def test_the_trace_goes_on_in_what_is_sent(
    writing,
    make_relay,
    post,
    superuser,
    tenant_id,
    destination,
):
    parent = f"00-{uuid4().hex}-{'1' * 16}-01"
    async with transaction(writing, tenant_id) as session:
        publish(session, AccountOpened(account_id=uuid4(), code="a", name="A"))
    carrier = "update outbox set carrier = jsonb_build_object('traceparent', $2::text, 'request_id', 'r-1')"
    await superuser.execute(f"{carrier} where destination = $1", destination, parent)
    await make_relay().relay_batch()
    (envelope,) = post.envelopes
    assert envelope.traceparent
    assert envelope.traceparent.split("-")[1] == parent.split("-")[1]
    assert envelope.requestid == "r-1"
