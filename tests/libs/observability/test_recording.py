"""While an app runs, requests are recorded many at a time, and nothing of them is lost, doubled or late."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from time import time_ns

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.observability.http import RequestTelemetry
from libs.observability.pending import MOST_WAITING
from libs.observability.recording import Recorder
from tests.fixtures.waiting import eventually_async
from tests.libs.observability.example import counts, nothing, swallow

Ended = Callable[[], Sequence[ReadableSpan]]


@pytest.fixture
def ended(span_memory: InMemorySpanExporter, recorder: Recorder) -> Iterator[Ended]:
    """The spans that have ended while an app runs; nothing is recorded by looking."""
    recorder.buffer()
    span_memory.clear()
    yield span_memory.get_finished_spans
    recorder.write_through()


async def some(ended: Ended, number: int = 1) -> Sequence[ReadableSpan]:
    """The spans, as soon as so many have ended."""

    async def enough() -> Sequence[ReadableSpan] | None:
        return ended() if len(ended()) >= number else None

    return await eventually_async(enough, 10, "too few spans have ended")


async def test_a_request_is_recorded_soon_with_nobody_asking(client, ended, lines):
    await client.get("/unavailable")
    assert [span.name for span in await some(ended)] == ["GET /unavailable"]
    assert [line["http"]["route"] for line in lines()] == ["/unavailable"]


async def test_one_that_failed_is_recorded_at_once_with_all_before_it(client, ended, monkeypatch):
    monkeypatch.setattr("libs.observability.pending.PAUSE_SECONDS", 600)
    await client.get("/unavailable")
    await client.get("/broken/1")
    assert [span.name for span in ended()] == ["GET /unavailable", "GET /broken/{id}"]


async def test_many_do_not_wait_for_the_time_to_pass(client, ended, monkeypatch):
    monkeypatch.setattr("libs.observability.pending.PAUSE_SECONDS", 600)
    await asyncio.gather(*(client.get("/unavailable") for _ in range(MOST_WAITING - 1)))
    assert not ended()
    await client.get("/unavailable")
    assert len(ended()) == MOST_WAITING


async def test_a_look_at_the_metrics_shows_every_request(client, ended, monkeypatch):
    monkeypatch.setattr("libs.observability.pending.PAUSE_SECONDS", 600)
    await client.get("/unavailable")
    await client.get("/metrics")
    assert len(ended()) == 1


async def test_where_no_app_runs_it_is_recorded_before_the_answer_is_read(client, recorder, ended):
    recorder.write_through()
    await client.get("/unavailable")
    assert len(ended()) == 1


async def test_a_loop_that_has_ended_keeps_no_request_of_another_waiting(ended, recorder):
    async def both_have_ended() -> bool:
        return len(ended()) == 2

    async def ask(*, waits: bool) -> None:
        transport = httpx.ASGITransport(RequestTelemetry(nothing, recorder=recorder))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await client.get("/")
        if waits:
            await eventually_async(both_have_ended, 10, "a request is not recorded")

    await asyncio.to_thread(asyncio.run, ask(waits=False))
    await asyncio.to_thread(asyncio.run, ask(waits=True))
    assert len(ended()) == 2


async def test_requests_recorded_by_another_thread_are_neither_lost_nor_doubled(recorder, registry, ended):
    done = threading.Event()

    def meddle() -> None:
        while not done.is_set():
            recorder.flush()

    telemetry = RequestTelemetry(nothing, recorder=recorder)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for _ in range(2000):
            await telemetry({"type": "http", "method": "GET", "path": "/x", "headers": []}, None, swallow)
    finally:
        done.set()
        meddler.join()
        sys.setswitchinterval(before)
    recorder.flush()
    assert sum(counts(registry, "http_requests_total").values()) == 2000


async def test_what_is_recorded_later_is_what_was_known_then(client, ended, lines):
    before = time_ns()
    await client.get("/unavailable")
    after = time_ns()
    [span], [line] = await some(ended), lines()
    assert before <= span.start_time < span.end_time <= after
    assert before <= datetime.fromisoformat(line["timestamp"]).timestamp() * 1e9 <= after + 1000
    assert 0 < line["duration_ms"] <= (after - before) / 1e6
