"""A connection costs little before a request of it is whole: heads, pipelines and their number are bounded, on real sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from libs.service_kit import refusals
from libs.service_kit.answers import OVERLOADED
from libs.service_kit.availability import Failures
from libs.service_kit.connections import LimitedProtocol, Limits, limited_by
from libs.service_kit.refusals import REASONS
from tests.fixtures.app import serving
from tests.fixtures.waiting import eventually_async

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"POST /%s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"

LARGE = 10_000_000  # more than the buffers of two sockets hold

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Answers with the headers of the request; `/read` reads the body before, `/wait` waits until it is told, `/large` sends many bytes."""

    def __init__(self) -> None:
        self.waiting = 0
        self.told = asyncio.Event()
        self.disconnected = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        message: dict[str, Any] = {"more_body": scope["path"] == "/read"}
        while message.get("more_body"):
            message = dict(await receive())
        if message.get("type") == "http.disconnect":
            self.disconnected.set()
            return
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
            for _ in range(100):
                await send({"type": "http.response.body", "body": bytes(LARGE // 100), "more_body": True})
            await send({"type": "http.response.body"})
            return
        if scope["path"] == "/wait":
            self.waiting += 1
            await self.told.wait()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.dumps({"path": scope["path"], "client": scope["client"][0], "headers": headers}).encode()
        given = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": given})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def echo() -> Echo:
    """The application behind the server."""
    return Echo()


@pytest.fixture
def serve(echo: Echo) -> Callable[..., AbstractAsyncContextManager[Callable[..., Any]]]:
    """`async with serve(head_lines=10) as connect, connect() as (reader, writer):` with these limits."""

    @asynccontextmanager
    async def run(**given: Any) -> AsyncIterator[Callable[..., Any]]:
        async with serving(echo, http=limited_by(Limits(**given))) as url:  # type: ignore[arg-type]
            port = int(url.rpartition(":")[2])

            @asynccontextmanager
            async def connect(*pieces: bytes) -> AsyncIterator[Stream]:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for piece in pieces:
                    writer.write(piece)
                try:
                    async with asyncio.timeout(20):
                        yield reader, writer
                finally:
                    writer.transport.abort()

            try:
                yield connect
            finally:
                echo.told.set()

    return run


@pytest.fixture(autouse=True)
def counted() -> Iterator[Callable[[], dict[str, float]]]:
    """How many connections have been refused in this test, by reason."""

    def now() -> dict[str, float]:
        name = "http_connections_refused_total"
        return {reason: REGISTRY.get_sample_value(name, {"reason": reason}) or 0 for reason in REASONS}

    before = now()
    yield lambda: {reason: count - before[reason] for reason, count in now().items() if count > before[reason]}


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    """The next answer: status, headers, document."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, json.loads(await reader.readexactly(int(headers["content-length"])))


async def refused(stream: Stream, status: int) -> dict[str, str]:
    """The connection gets a problem of this status, and its end; the headers of the answer."""
    reader, _ = stream
    found, headers, document = await answer_of(reader)
    assert (found, document["status"], headers["connection"]) == (status, status, "close")
    assert headers["content-type"] == "application/problem+json"
    assert document["type"] == (OVERLOADED if status == 503 else "about:blank")
    assert await reader.read() == b""
    return headers


async def send_for_ever(writer: asyncio.StreamWriter, piece: bytes, most: int) -> None:
    """Send pieces until the other side ends the connection, which it has to do before `most` bytes have gone out."""
    with contextlib.suppress(ConnectionError):
        for _ in range(most // len(piece)):
            writer.write(piece)
            await writer.drain()
        pytest.fail("the connection has not ended")


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(HALF + b"x: ", b"a" * 1000, id="a value"),
        pytest.param(HALF, b"a" * 1000, id="a name"),
        pytest.param(b"GET /", b"a" * 1000, id="a path"),
        pytest.param(HALF, b"a:\r\n" * 10, id="lines"),
        pytest.param(b"", b"\r\n" * 500, id="empty lines"),
        pytest.param(CHUNKED % b"read" + b"1;a=", b"a" * 1000, id="an extension of a chunk"),
        pytest.param(CHUNKED % b"read" + b"0\r\nx: ", b"a" * 1000, id="a trailer"),
        pytest.param(CHUNKED % b"read" + b"0\r\n", b"a:\r\n" * 10, id="trailers"),
    ],
)
async def test_what_has_no_end_is_refused(serve, counted, start, piece):
    async with serve(linger_bytes=100_000) as connect, connect(start) as stream:
        sending = asyncio.create_task(send_for_ever(stream[1], piece, 20_000_000))
        await refused(stream, 431)
        await sending
    assert counted() == {"head": 1}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HALF + b"x: " + b"a" * 16_300 + b"\r\n\r\n", 200),
        (HALF + b"x: " + b"a" * 16_400 + b"\r\n\r\n", 431),
        (HALF + b"a: b\r\n" * 99 + b"\r\n", 200),
        (HALF + b"a: b\r\n" * 100 + b"\r\n", 431),
        (HALF.replace(b"/ ", b"/?" + b"a" * 8190 + b" ") + b"\r\n", 200),
        (HALF.replace(b"/ ", b"/?" + b"a" * 8191 + b" ") + b"\r\n", 414),
        (HALF.replace(b"/ ", b"/?" + b"&".join([b"a"] * 100) + b" ") + b"\r\n", 200),
        (HALF.replace(b"/ ", b"/?" + b"&".join([b"a"] * 101) + b" ") + b"\r\n", 414),
    ],
)
async def test_a_whole_head_is_taken_up_to_its_limits(serve, head, status):
    async with serve() as connect, connect(head) as (reader, writer):
        if status == 200:
            assert (await answer_of(reader))[0] == 200
        else:
            await refused((reader, writer), status)


async def test_a_request_after_many_others_has_the_whole_of_its_limits(serve):
    long = HALF + b"x: " + b"a" * 15_000 + b"\r\n\r\n"
    async with serve() as connect, connect() as (reader, writer):
        for _ in range(5):
            for start in range(0, len(long), 4_000):
                writer.write(long[start : start + 4_000])
                await writer.drain()
            assert (await answer_of(reader))[0] == 200


async def test_half_a_head_is_waited_for_and_then_refused(serve, counted):
    async with serve(head_seconds=0.2) as connect, connect(HALF) as stream:
        await refused(stream, 408)
    assert counted() == {"slow": 1}


@pytest.mark.parametrize("piece", [HALF, b"\r\n"])
async def test_a_later_head_has_no_more_time_than_the_first(serve, piece):
    async with serve(head_seconds=0.2) as connect, connect(GET) as stream:
        assert (await answer_of(stream[0]))[0] == 200
        stream[1].write(piece)
        await refused(stream, 408)


async def test_a_connection_that_says_nothing_ends_without_an_answer(serve, counted):
    async with serve(head_seconds=0.2) as connect, connect() as (reader, _):
        assert await reader.read() == b""
    assert counted() == {}


async def test_the_time_of_a_head_does_not_count_for_the_work_on_it(serve, echo):
    async with serve(head_seconds=0.2) as connect, connect(GET.replace(b"/ ", b"/wait ")) as (reader, _):
        await asyncio.sleep(0.5)
        echo.told.set()
        assert (await answer_of(reader))[0] == 200


async def test_what_is_no_http_is_refused_and_counted(serve, counted):
    async with serve() as connect, connect(b"HELO there\r\n\r\n") as stream:
        await refused(stream, 400)
    assert counted() == {"malformed": 1}


async def test_an_upgrade_is_answered_as_a_request(serve):
    upgrade = HALF + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n"
    async with serve() as connect, connect(upgrade) as (reader, _):
        assert (await answer_of(reader))[0] == 200


async def test_a_broken_body_ends_the_request_that_waits_for_it(serve, echo):
    async with serve() as connect, connect(CHUNKED % b"read" + b"no length\r\n") as stream:
        await refused(stream, 400)
        await asyncio.wait_for(echo.disconnected.wait(), 10)


async def test_trailers_are_no_headers(serve):
    body = b"1\r\na\r\n0\r\nauthorization: Bearer x\r\n\r\n"
    async with serve() as connect, connect(CHUNKED % b"read" + body) as (reader, _):
        status, _, document = await answer_of(reader)
    assert (status, set(document["headers"])) == (200, {"host", "transfer-encoding"})


async def test_a_few_pipelined_requests_are_answered_in_their_order(serve):
    requests = [GET.replace(b"/ ", b"/%d " % number) for number in range(9)]
    async with serve() as connect, connect(b"".join(requests)) as (reader, _):
        assert [(await answer_of(reader))[2]["path"] for _ in requests] == [f"/{number}" for number in range(9)]


@pytest.mark.parametrize(
    "flood", [GET * 20, b"POST / HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n" + b"a" * 200_000], ids=["many", "large"]
)
async def test_what_comes_long_before_its_turn_ends_the_connection(serve, echo, counted, flood):
    async with serve() as connect, connect(GET.replace(b"/ ", b"/wait ") + flood) as (reader, _):
        with contextlib.suppress(ConnectionError):  # which it is if something has not been read
            assert await reader.read() == b""
    assert counted() == {"pipelined": 1}


@pytest.mark.parametrize("head", [CHUNKED % b"", b"POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n"])
async def test_after_an_early_answer_the_rest_of_the_body_is_not_read_for_long(serve, head):
    async with serve() as connect, connect(head) as (reader, writer):
        assert (await answer_of(reader))[0] == 200
        assert await reader.read() == b""  # the other side has said its last word
        await send_for_ever(writer, b"%x\r\n" % 1000 + b"a" * 1000 + b"\r\n", 20_000_000)


async def test_after_an_early_answer_the_rest_of_the_body_is_not_waited_for(serve):
    async with serve(linger_seconds=0.1) as connect, connect(CHUNKED % b"") as (reader, writer):
        assert (await answer_of(reader))[0] == 200

        async def has_ended() -> bool:
            try:
                writer.write(b"1\r\na\r\n")
                await writer.drain()
            except ConnectionError:
                return True
            return False

        await eventually_async(has_ended, 10, "the connection is still open")


async def test_a_body_that_is_whole_before_its_answer_keeps_the_connection(serve):
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na"
    async with serve() as connect, connect() as (reader, writer):
        for _ in range(3):
            writer.write(post)
            assert (await answer_of(reader))[0] == 200


async def test_a_newcomer_takes_the_place_of_who_has_owed_a_request_for_longest(serve, counted):
    async with serve(connections=2) as connect, connect(HALF) as oldest, connect(HALF) as next_one:
        await asyncio.sleep(0.1)  # until both have arrived
        async with connect(GET) as (reader, _):
            assert (await answer_of(reader))[0] == 200
            assert (await refused(oldest, 503))["retry-after"] == "1"
            next_one[1].write(b"\r\n")
            assert (await answer_of(next_one[0]))[0] == 200
    assert counted() == {"connections": 1}


async def test_an_idle_connection_makes_room_without_an_answer(serve):
    async with serve(connections=1) as connect, connect(GET) as (idle, _):
        assert (await answer_of(idle))[0] == 200
        async with connect(GET) as (reader, _):
            assert (await answer_of(reader))[0] == 200
        assert await idle.read() == b""


async def test_half_a_body_makes_room_as_half_a_head_does(serve, echo):
    async with serve(connections=1) as connect, connect(CHUNKED % b"read" + b"1\r\n") as half:
        await asyncio.sleep(0.1)
        async with connect(GET) as (reader, _):
            assert (await answer_of(reader))[0] == 200
        await refused(half, 503)
        await asyncio.wait_for(echo.disconnected.wait(), 10)


async def test_where_all_are_served_a_newcomer_is_told_to_come_again(serve, echo):
    async with serve(connections=1) as connect, connect(GET.replace(b"/ ", b"/wait ")) as (reader, _):

        async def is_waiting() -> bool:
            return echo.waiting == 1

        await eventually_async(is_waiting, 10, "the request has not come")
        async with connect() as newcomer:
            assert (await refused(newcomer, 503))["retry-after"] == "1"
        echo.told.set()
        assert (await answer_of(reader))[0] == 200


@pytest.mark.parametrize("piece", [b"", HALF])
async def test_of_many_that_come_at_once_no_more_have_a_place_than_there_are(serve, counted, piece):
    async with serve(connections=10) as connect, contextlib.AsyncExitStack() as crowd:
        coming = [connect(piece) for _ in range(200)]
        streams = await asyncio.gather(*(crowd.enter_async_context(each) for each in coming))

        async def is_open(stream: Stream) -> bool:
            try:
                async with asyncio.timeout(0.01):
                    await answer_of(stream[0])
            except TimeoutError:
                return True
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            return False

        async def are_as_many_as_there_are_places() -> bool:
            return counted().get("connections") == 190 and sum([await is_open(each) for each in streams]) == 10

        await eventually_async(are_as_many_as_there_are_places, 10, "there are more connections than places")


async def test_who_does_not_read_its_answer_is_not_waited_for(serve, counted):
    async with serve(unread_seconds=0.2) as connect, connect(GET.replace(b"/ ", b"/large ")) as (_, writer):
        writer.transport.pause_reading()
        await eventually_async(lambda: is_counted(counted, {"unread": 1}), 10, "it is still waited for")


async def test_who_reads_slowly_gets_all_of_its_answer(serve, counted):
    async with serve(unread_seconds=2) as connect, connect(GET.replace(b"/ ", b"/large ")) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        left = LARGE
        while left:
            left -= len(await reader.readexactly(min(left, LARGE // 10)))
            await asyncio.sleep(0.3)
    assert counted() == {}


async def test_who_does_not_read_its_answer_makes_room(serve, counted):
    async with serve(connections=1) as connect, connect(GET.replace(b"/ ", b"/large ")) as (_, writer):
        writer.transport.pause_reading()

        async def is_served() -> bool:
            async with connect(GET) as (newcomer, _):
                return (await answer_of(newcomer))[0] == 200

        await eventually_async(is_served, 10, "nobody else is served")
    assert counted().get("connections", 0) >= 1


class Filling:
    """Answers with as much as leaves a part unread in the server's own buffer, and no more."""

    def __init__(self, http: type[LimitedProtocol], head: bytes) -> None:
        self.http = http
        self.head = [(b"connection", head)]
        self.ended = 0
        self.seen: set[LimitedProtocol] = set()

    def alive(self) -> set[LimitedProtocol]:
        """The connections whose transport has not ended."""
        return {each for each in self.seen if each in each.connections}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        (own,) = (each for each in self.http.places if each.cycle and each.cycle.scope is scope)
        self.seen.add(own)
        await send({"type": "http.response.start", "status": 200, "headers": self.head})
        while not own.transport.get_write_buffer_size():
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
        await send({"type": "http.response.body"})
        self.ended += 1


@asynccontextmanager
async def unread(number: int, head: bytes, **limits: Any) -> AsyncIterator[tuple[list[Stream], Filling]]:
    """Clients that do not read what is left of their answers in the server's buffer."""
    http = limited_by(Limits(**limits))
    filling = Filling(http, head)
    async with serving(filling, http=http) as url, contextlib.AsyncExitStack() as clients:  # type: ignore[arg-type]
        streams: list[Stream] = []
        for count in range(1, number + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            clients.callback(writer.transport.abort)
            writer.transport.pause_reading()
            writer.write(GET)
            streams.append((reader, writer))

            async def has_ended(wanted: int = count) -> bool:
                return filling.ended == wanted

            await eventually_async(has_ended, 10, "the answer has not ended")
        yield streams, filling


async def test_a_last_answer_is_not_waited_for_until_it_is_read(counted):
    async with unread(4, b"close", connections=4, unread_seconds=0.2) as (_, filling):

        async def have_ended() -> bool:
            return not filling.http.places and counted() == {"unread": 4}

        await eventually_async(have_ended, 10, "they keep their places")


@pytest.mark.parametrize("head", [b"close", b"keep-alive"])
async def test_who_has_not_read_its_answer_leaves_nothing_behind_when_it_makes_room(head):
    async with unread(12, head, connections=4) as (streams, filling):
        for _, writer in streams:
            writer.write(b"G")  # of a next request

        async def are_few() -> bool:
            return len(filling.alive()) <= 4

        await eventually_async(are_few, 10, "they are still there")


async def is_counted(counted: Callable[[], dict[str, float]], wanted: dict[str, float]) -> bool:
    """Whether as many have been refused as wanted."""
    return counted() == wanted


async def test_who_ends_its_connection_gives_its_place_back(serve):
    async with serve(connections=1) as connect:
        for piece in (HALF, GET, CHUNKED % b"read") * 2:
            async with connect(piece):
                await asyncio.sleep(0.05)
        async with connect(GET) as (idle, _):
            assert (await answer_of(idle))[0] == 200
            async with connect(GET):
                assert await idle.read() == b""  # and not somebody who has gone has made room


async def test_a_client_does_not_choose_its_address(serve):
    named = HALF + b"x-forwarded-for: 203.0.113.9\r\n\r\n"
    async with serve() as connect, connect(named) as (reader, _):
        assert (await answer_of(reader))[2]["client"] == "127.0.0.1"


async def test_a_refusal_is_a_line_and_the_next_ones_are_counted(serve, lines, monkeypatch):
    monkeypatch.setattr(refusals, "REFUSALS", Failures("a connection was refused", refusals.Refusal))
    async with serve(head_lines=1) as connect:
        for _ in range(3):
            async with connect(HALF + b"a: b\r\n\r\n") as stream:
                await refused(stream, 431)
    told = [line for line in lines() if line["message"] == "a connection was refused"]
    assert [(line["level"], line["error"]["type"]) for line in told] == [
        ("warning", "libs.service_kit.refusals.Refusal")
    ]
