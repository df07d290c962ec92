"""A service that does not bear the abuse is reported as that, and the abuse ends with the report."""

import asyncio
import os
from types import SimpleNamespace

import psutil
import pytest
from bench.command import BenchError
from bench_abuse import __main__ as bench_abuse
from bench_abuse.abuses import ABUSES
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
