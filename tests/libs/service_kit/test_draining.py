"""A service that is told to stop answers for a while longer, and no client that keeps its connection loses a request."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from stack.ports import free_port

from tests.fixtures.waiting import eventually_async, until_somebody_waits
from tests.libs.service_kit.processes import is_alive, process, variables

NOTES = "/api/v1/notes"
GET = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
LONG = 60.0  # much longer than a test may take


class Draining(NamedTuple):
    """A service that can be told to stop."""

    port: int
    process: asyncio.subprocess.Process
    log_file: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Send it SIGTERM, and return when it says that it is not ready."""
        self.process.terminate()
        async with httpx.AsyncClient(base_url=self.url) as client:

            async def is_not_ready() -> bool:
                return (await client.get("/health/ready")).status_code == 503

            await eventually_async(is_not_ready, 10, "the service does not drain")

    def said(self, message: str) -> dict[str, Any]:
        """The one line that it has written with this message."""
        (line,) = (each for each in map(json.loads, self.log_file.open()) if each["message"] == message)
        return line


@pytest.fixture
def drain_seconds(request: pytest.FixtureRequest) -> float:
    """Longer than any test takes, unless it says otherwise."""
    return getattr(request, "param", LONG)


@pytest.fixture
async def service(
    drain_seconds: float, database_url: Callable[[str], str], jwks_url: str, tmp_path: Path
) -> AsyncIterator[Draining]:
    """A service that is ready."""
    port = free_port()
    given = variables(port, database_url, jwks_url, tmp_path) | {"DRAIN_SECONDS": str(drain_seconds)}
    async with process(**given) as started:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await eventually_async(partial(is_alive, started, client, "/health/ready"), 20, "it is not ready")
        yield Draining(port, started, tmp_path / "combined.log")


async def test_a_client_that_keeps_its_connection_is_answered_and_told_to_leave(service):
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert "connection" not in (await client.get("/health/live")).headers
        await service.stop()
        answer = await client.get("/health/live")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")


async def test_no_request_of_a_busy_client_is_lost(service):
    asked = Counter()

    async def ask(number: int) -> None:
        """Ask again and again on one connection, until it is told to leave."""
        async with httpx.AsyncClient(base_url=service.url, limits=httpx.Limits(max_connections=1)) as client:
            while True:
                answer = await client.get("/health/live")
                assert answer.status_code == 200
                asked[number] += 1
                if answer.headers.get("connection") == "close":
                    return

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(ask(number))

        async def all_have_asked() -> bool:
            return len(asked) == 8

        await eventually_async(all_have_asked, 10, "not every client has been answered")
        service.process.terminate()
    assert min(asked.values()) > 1


async def test_it_says_why_it_is_not_ready_but_alive_and_takes_new_connections(service):
    await service.stop()
    async with httpx.AsyncClient(base_url=service.url) as client:
        for _ in range(3):
            refused = await client.get("/health/ready")
            assert (refused.status_code, refused.headers["connection"]) == (503, "close")
            assert "stopping" in refused.json()["detail"]
            assert (await client.get("/health/live")).status_code == 200


async def test_a_request_under_way_is_answered_with_the_word_to_leave(service, make_token, superuser):
    headers = {"authorization": f"Bearer {make_token()}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20) as client:
        async with superuser.transaction():
            await superuser.execute("lock table notes")
            request = asyncio.create_task(client.post(NOTES, json={"code": "drained", "text": "b"}))
            await until_somebody_waits(superuser)
            await asyncio.sleep(1.2)  # uvicorn makes new headers each second: those of this request are old then
            await service.stop()
        answer = await request
    assert (answer.status_code, answer.headers["connection"]) == (201, "close")


@pytest.mark.parametrize("drain_seconds", [4], indirect=True)
async def test_a_connection_on_which_nobody_asks_is_closed_in_the_end(service):
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(GET)
    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
    await service.stop()
    assert await reader.read() == b""
    writer.close()
    assert await service.process.wait() == -signal.SIGTERM
    begun, ended = service.said("draining: not ready, but still answering"), service.said("drained: stopping")
    assert (begun["level"], begun["drain_seconds"], begun["connections"] >= 1) == ("info", 4, True)
    assert ended["connections"] == 1
    assert ended["seconds"] >= 4


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_drain(service, told):
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    await service.stop()
    service.process.send_signal(told)
    assert await service.process.wait() in (-signal.SIGTERM, -signal.SIGINT)
    writer.close()
    assert service.said("drained: stopping")["connections"] == 1


async def test_ctrl_c_stops_at_once(service):
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    service.process.send_signal(signal.SIGINT)
    await service.process.wait()
    writer.close()
    assert "drain" not in service.log_file.read_text()
