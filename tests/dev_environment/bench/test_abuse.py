"""A service that does not bear the abuse is reported as that, and the abuse ends with the report."""

import asyncio
import contextlib
import os
import sys
from types import SimpleNamespace

import psutil
import pytest
from bench.command import BenchError
from bench_abuse import __main__ as bench_abuse
from bench_abuse.abuses import ABUSES, send
from stack.ports import free_port


def test_a_service_that_does_not_answer_is_named_and_its_abuse_is_ended(monkeypatch):
    monkeypatch.setattr(bench_abuse.target, "forget_peak", lambda _: None)
    dead = SimpleNamespace(port=free_port(), process=SimpleNamespace(pid=os.getpid()))
    kind = next(iter(ABUSES))
    with pytest.raises(BenchError, match="/health/live was not answered"):
        asyncio.run(bench_abuse.watch(dead, "", kind, 60.0))
    assert not [each for each in psutil.Process().children() if "bench_abuse.abuses" in each.cmdline()]


def test_a_service_that_answers_nothing_even_alone_is_reported(monkeypatch):
    async def watch(*_: object) -> bench_abuse.Watched:
        return bench_abuse.Watched("nothing")

    monkeypatch.setattr(bench_abuse, "watch", watch)
    process = SimpleNamespace(process=SimpleNamespace(poll=lambda: None))
    with pytest.raises(BenchError, match="even alone"):
        asyncio.run(bench_abuse.measure(process, "", SimpleNamespace(only=[], seconds=1)))


KEPT = {"kind": "pipeline", "peak_mib": 200.0, "live_ms": 250.0, "goodput": 0.8}


@pytest.mark.parametrize(
    ("given", "limit"),
    [({}, None), ({"peak_mib": 201.0}, "peak_mib"), ({"live_ms": 251.0}, "live_ms"), ({"goodput": 0.79}, "goodput")],
)
def test_each_limit_that_is_broken_is_named_and_is_the_exit_code(monkeypatch, capsys, given, limit):
    async def measure(*_: object) -> list[bench_abuse.Watched]:
        return [bench_abuse.Watched(**KEPT | given)]

    monkeypatch.setattr(bench_abuse, "measure", measure)
    monkeypatch.setattr(bench_abuse.target, "running", lambda _: contextlib.nullcontext((None, "")))
    monkeypatch.setattr(sys, "argv", ["bench-abuse"])
    assert bench_abuse.main() == bool(limit)
    said = capsys.readouterr().err
    assert (f"pipeline breaks the limit of {limit}." in said, "mean nothing" in said) == (bool(limit), bool(limit))


async def test_answers_to_requests_that_overlap_are_all_counted(monkeypatch):
    async def is_answered(*_: object) -> bool:
        await asyncio.sleep(3 * bench_abuse.EVERY_SECONDS)
        return True

    monkeypatch.setattr(bench_abuse, "_is_answered", is_answered)
    seen = bench_abuse.Watched("nothing")
    await bench_abuse._ask_as_client(0, "", seen, asyncio.get_running_loop().time() + 25 * bench_abuse.EVERY_SECONDS)
    assert seen.answered == seen.asked > 1


@pytest.mark.parametrize("kind", [kind for kind, abuse in ABUSES.items() if abuse.sent("a.b.c").is_loop])
async def test_a_closed_loop_asks_again_after_each_answer(kind):
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            if len(heads) == 3:
                return writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20) as server:
        end = asyncio.get_running_loop().time() + 10
        await send(server.sockets[0].getsockname()[1], ABUSES[kind].sent("a.b.c"), end)
    assert heads == [ABUSES[kind].sent("a.b.c").head] * 3
