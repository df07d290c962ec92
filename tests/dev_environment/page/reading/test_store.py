"""One task keeps all that the page reads current, and what fails is told once and ends nothing."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import HTTPServer
from pathlib import Path

import pytest
from page.reading.processes import State
from page.reading.store import Store
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler
from stack import settings
from stack.settings import Settings

from libs.observability.files import RotatingFile
from libs.observability.metrics.http import HttpMetrics
from tests.fixtures.local_stack import environment_of
from tests.fixtures.serving import serving
from tests.fixtures.waiting import eventually_async

AUTH = "auth-service"


@pytest.fixture
def stack(tmp_path: Path) -> Settings:
    return settings.read(environment_of(tmp_path), Path("/none"))


@pytest.fixture
def requests(stack: Settings) -> Iterator[HttpMetrics]:
    """The requests that auth shows at its port."""
    registry = CollectorRegistry()
    with serving(HTTPServer(("127.0.0.1", stack.port("AUTH_PORT")), MetricsHandler.factory(registry))):
        yield HttpMetrics(registry)


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[None]:
    task = asyncio.create_task(store.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_the_services_write_and_answer_is_there_soon_after(stack, requests, record, monkeypatch):
    monkeypatch.setattr("page.reading.store.SCRAPE_SECONDS", (1000.0, 0.1))
    lines = RotatingFile(stack.state / "logs" / AUTH / "combined.log", max_bytes=1000, kept=1)
    requests.declare("/x", "GET")
    store = Store(stack)
    store.metrics.look()
    async with running(store):
        record(f"traces/{AUTH}", "GET /x", http__response__status_code=200)
        lines.write(b'{"timestamp":"2999-01-01T00:00:00.000000Z","service":"auth-service","message":"hello"}\n')

        async def all_is_there() -> bool:
            requests.observe(requests.series("/x", "GET", 200), 0.1, 1.0, None)
            return bool(
                store.traces.find(status="200")
                and store.lines.find(text="hello")
                and store.metrics.numbers(AUTH).rate
                and store.processes.states()
            )

        await eventually_async(all_is_there, 30)
    assert store.processes.states()[AUTH].state == "down"
    lines.close()


async def test_a_reader_that_fails_is_told_once_goes_on_and_ends_no_other(stack, record, monkeypatch, caplog):
    store = Store(stack)
    calls = 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise OSError("no space")

    monkeypatch.setattr(store.lines, "read", fail)
    with caplog.at_level(logging.WARNING):
        async with running(store):
            record(f"traces/{AUTH}", "GET /x")

            async def is_there() -> bool:
                return bool(store.traces.find()) and calls > 1

            await eventually_async(is_there, 30)
    assert [line.message.count("no space") for line in caplog.records if line.name == "page.reading.store"] == [1]


async def test_who_begins_to_look_does_not_wait_for_the_pause_of_when_nobody_does(stack, monkeypatch):
    monkeypatch.setattr("page.reading.store.STATE_SECONDS", (1000.0, 0.0))
    monkeypatch.setattr("page.reading.store.WAKE_SECONDS", 0.01)
    store = Store(stack)
    async with running(store):

        async def states() -> object:
            return store.processes.states()

        first = await eventually_async(states, 30)
        store.metrics.look()

        async def others() -> bool:
            return store.processes.states() is not first

        await eventually_async(others, 30)


async def test_the_numbers_of_a_service_that_stops_go_at_once(stack, monkeypatch):
    monkeypatch.setattr("page.reading.store.SCRAPE_SECONDS", (1000.0, 1000.0))
    monkeypatch.setattr("page.reading.store.WAKE_SECONDS", 0.01)
    state = State(AUTH, "stopped", 0.0, 1, "it was stopped")
    store = Store(stack)
    monkeypatch.setattr(store.processes, "states", lambda: {AUTH: state})
    HttpMetrics(registry := CollectorRegistry()).declare("/x", "GET")

    async def is_known() -> bool:
        return bool(store.metrics.families(AUTH))

    async def is_forgotten() -> bool:
        return not store.metrics.families(AUTH)

    async with running(store):
        with serving(HTTPServer(("127.0.0.1", stack.port("AUTH_PORT")), MetricsHandler.factory(registry))):
            await eventually_async(is_known, 30)
        state = State(AUTH, "stopped", 0.0, None, "it was stopped")
        await eventually_async(is_forgotten, 30)


async def test_searches_that_take_long_hold_up_no_other_read(stack, monkeypatch):
    monkeypatch.setattr("page.reading.store.STATE_SECONDS", (0.0, 0.0))
    store, found, looks = Store(stack), threading.Event(), list[object]()
    async with running(store):
        await asyncio.sleep(0)
        searches = [asyncio.create_task(asyncio.to_thread(found.wait)) for _ in range(24)]

        async def looks_go_on() -> bool:
            if not looks or looks[-1] is not store.processes.states():
                looks.append(store.processes.states())
            return len(looks) > 4

        try:
            await eventually_async(looks_go_on, 30)
        finally:
            found.set()
        await asyncio.gather(*searches)
