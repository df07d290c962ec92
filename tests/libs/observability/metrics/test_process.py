"""What the process is busy with can be asked on `/metrics`, however busy it is."""

import asyncio
import gc
import logging
import threading

import httpx
import pytest
from anyio import to_thread
from fastapi import FastAPI
from prometheus_client import REGISTRY

from libs.observability.metrics import process
from libs.observability.metrics.lag import measuring_loop_lag
from libs.observability.metrics.names import MOST_NAMES, FirstNames
from libs.observability.metrics.page import MetricsRoute
from libs.observability.metrics.process import count_exception, measure_pauses
from tests.fixtures.waiting import eventually_async
from tests.libs.observability.example import OFF


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_requests_in_flight_are_counted(client, service):
    held, entered = asyncio.Event(), asyncio.Event()

    @service.get("/held")
    async def hold() -> None:
        entered.set()
        await held.wait()

    before = value("http_requests_inprogress")
    asking = asyncio.create_task(client.get("/held"))
    await entered.wait()
    assert value("http_requests_inprogress") == before + 1
    held.set()
    await asking
    await client.get("/broken")
    assert value("http_requests_inprogress") == before


async def test_an_unexpected_exception_is_counted_by_its_type(client, service):
    class Odd(Exception):
        pass

    @service.get("/unexpected")
    async def fail() -> None:
        raise Odd

    await client.get("/unexpected")
    [counted] = [
        sample.value
        for family in process.EXCEPTIONS.collect()
        for sample in family.samples
        if sample.name == "http_exceptions_total" and sample.labels["type"].endswith("Odd")
    ]
    assert counted == 1


def test_the_types_of_exceptions_are_bounded(monkeypatch):
    monkeypatch.setattr(process, "_known", FirstNames("other"))
    before = value("http_exceptions_total", type="other")
    for number in range(MOST_NAMES + 5):
        count_exception(f"Odd{number}")
    assert value("http_exceptions_total", type="other") == before + 5


def test_pauses_of_the_garbage_collector_are_timed():
    measure_pauses()
    measure_pauses()
    before = value("python_gc_pause_seconds_count", generation="2")
    gc.collect()
    assert value("python_gc_pause_seconds_count", generation="2") == before + 1
    assert gc.callbacks.count(process.PAUSES.note) == 1


def test_written_lines_are_counted_by_level(lines):
    levels = ("debug", "info", "warning", "error", "critical")
    before = [value("log_lines_written_total", level=level) for level in levels]
    log = logging.getLogger("app")
    for level in (logging.DEBUG, logging.INFO, logging.INFO, logging.ERROR):
        log.log(level, "here")
    assert [value("log_lines_written_total", level=level) for level in levels] == [
        old + new for old, new in zip(before, (0, 2, 0, 1, 0), strict=True)
    ]
    assert len(lines()) == 3


@pytest.fixture
def held() -> threading.Event:
    return threading.Event()


async def test_the_metrics_are_served_while_slow_endpoints_hold_all_threads(held):
    app = FastAPI(telemetry=OFF)
    app.router.routes.append(MetricsRoute())
    app.add_api_route("/slow", lambda: held.wait(30) and None)
    limit = int(to_thread.current_default_thread_limiter().total_tokens)

    async def are_waiting() -> bool:
        return value("thread_pool_pending_requests") == 3

    async with (
        measuring_loop_lag(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
    ):
        slow = [asyncio.create_task(client.get("/slow")) for _ in range(limit + 3)]
        try:
            await eventually_async(are_waiting, 10)
            async with asyncio.timeout(10):
                page = (await client.get("/metrics")).text
            assert f"thread_pool_threads {limit}.0" in page
            assert f"thread_pool_limit {limit}.0" in page
        finally:
            held.set()
            await asyncio.gather(*slow)
