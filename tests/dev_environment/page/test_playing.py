"""The story's lines become steps, and a child of the page ends when it should."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from page import playing
from page.playing import LEFT_OUT, Child, Step, end_leftovers, steps
from stack.local import processes

from libs.journey.__main__ import line
from libs.journey.client import Answer
from tests.fixtures.waiting import eventually, eventually_async

FOREVER = ("http.server", "--bind", "127.0.0.1", "0")


@pytest.mark.parametrize("who", ["Ada", "Somebody with an uncommonly long name"])
def test_a_step_is_read_as_the_story_prints_it(capsys, who):
    line(who, "asks for 2  things", Answer("budget", "POST", "/x", 409, None, {}, "ab" * 16, 0.0123))
    print("\nThe audit trail\n  all 3 steps are in it")
    step, *others = steps(capsys.readouterr().out.splitlines())
    assert isinstance(step, Step)
    assert f"{step.who} {step.what}".startswith(f"{who} asks for 2  things [409")
    assert (step.milliseconds, step.trace_id) == (12, "ab" * 16)
    assert others == ["The audit trail", "  all 3 steps are in it"]


async def test_a_child_is_started_once_keeps_what_it_says_and_is_stopped(tmp_path):
    child = Child(tmp_path, FOREVER)
    await child.start()
    began = child.began
    await child.start()
    assert child.began == began
    await eventually_async(lambda: asyncio.sleep(0, any("Serving HTTP" in line for line in child.lines)))
    await child.stop()
    assert (child.is_running, child.code) == (False, -15)


async def test_two_who_start_it_at_once_start_one_child(tmp_path):
    child = Child(tmp_path, FOREVER)
    await asyncio.gather(child.start(), child.start())
    try:
        assert len(processes.of_stack(tmp_path)) == 1
    finally:
        await child.stop()
        processes.end(processes.of_stack(tmp_path))


async def test_a_line_of_any_length_does_not_end_the_reading(tmp_path):
    child = Child(tmp_path, ("timeit", "-n1", "-r1", "-s", "print('x' * 1_000_000)", "pass"))
    await child.start()
    await eventually_async(lambda: asyncio.sleep(0, not child.is_running and "1 loop" in child.lines[-1]))
    assert LEFT_OUT.decode() in child.lines


async def test_a_child_that_ends_by_itself_says_how(tmp_path):
    child = Child(tmp_path, ("no_such_module",))
    await child.start()
    await eventually_async(lambda: asyncio.sleep(0, not child.is_running and bool(child.lines)))
    assert child.code == 1
    assert "No module named no_such_module" in child.lines[-1]


def test_what_a_killed_page_has_left_is_ended_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(playing, "LOAD", FOREVER)
    mine, others = (
        subprocess.Popen([sys.executable, "-X", f"all-erp={state}", "-m", *FOREVER], stdout=subprocess.DEVNULL)
        for state in (tmp_path, Path("/elsewhere"))
    )
    try:
        end_leftovers(tmp_path)
        assert eventually(lambda: mine.poll() is not None)
        assert others.poll() is None
    finally:
        for each in (mine, others):
            each.kill()
            each.wait()
