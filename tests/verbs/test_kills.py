"""A command that is killed at any stage leaves nothing that the next one cannot continue from, and two take turns."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest
from stack import postgres, settings
from stack.environment import superuser_url
from stack.local import supervisor
from stack.settings import ROOT, Settings

from tests.fixtures.local_stack import verb
from tests.fixtures.waiting import eventually


@pytest.fixture(scope="module")
def stack(environment: dict[str, str]) -> Settings:
    return settings.read(environment, Path("/none"))


def kill_when(environment: dict[str, str], action: str, is_seen: Callable[[], object], *, whole: bool = False) -> None:
    """Begin a verb and kill it as soon as something is seen; with `whole` the processes that it waits for, too."""
    command = [sys.executable, "-m", "stack", action]
    begun = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not is_seen():
        assert begun.poll() is None, "it has ended before it could be killed"
        time.sleep(0.001)
    children = psutil.Process(begun.pid).children(recursive=True) if whole else []
    begun.kill()
    for each in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    begun.communicate()


def is_migrating(stack: Settings) -> bool:
    """Whether the first database has its tables, and so the next one gets them."""

    async def ask() -> bool:
        connection = await asyncpg.connect(superuser_url(stack, "auth"))
        try:
            return await connection.fetchval("select to_regclass('alembic_version') is not null")
        finally:
            await connection.close()

    try:
        return asyncio.run(ask())
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def home(stack: Settings) -> Path:
    return postgres.home(stack.state / "postgres")


def test_up_continues_from_wherever_it_was_killed(environment, stack):
    kill_when(environment, "up", lambda: [*home(stack).glob("unfinished-*/PG_VERSION")])
    kill_when(environment, "up", lambda: (stack.run / "supervisord.conf").exists())
    kill_when(environment, "up", lambda: supervisor.is_running(stack))
    (stack.run / "fingerprint").unlink(missing_ok=True)  # it is written a moment later
    kill_when(environment, "up", lambda: is_migrating(stack), whole=True)
    assert "Traceback" not in verb(environment, "status").stderr
    done = verb(environment, "up")
    assert (done.returncode, done.stderr) == (0, "")
    assert verb(environment, "status").returncode == 0
    assert [*home(stack).glob("unfinished-*")] == []


def test_a_second_up_says_whom_it_waits_for_and_finds_the_stack_running(environment, stack):
    assert verb(environment, "down").returncode == 0
    command = [sys.executable, "-m", "stack", "up"]
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    eventually(lambda: str(first.pid) in (stack.state / "lock").read_text())
    second = verb(environment, "up")
    assert f"make up (process {first.pid}) is already at work on this stack: waiting until it is done" in second.stdout
    assert (second.returncode, "running already" in second.stdout) == (0, True)
    assert "Starting PostgreSQL" in first.communicate()[0]
    assert first.returncode == 0


def test_killed_verbs_can_be_repeated_and_lose_nothing(environment, stack):
    before = users(stack)
    for action in ("migrate", "restart", "down"):
        kill_when(
            environment, action, lambda verb=action: f"make {verb}" in (stack.state / "lock").read_text(), whole=True
        )
    assert verb(environment, "up").returncode == 0
    assert users(stack) >= before != set()


def test_up_starts_what_a_killed_down_is_stopping_still(environment, stack):
    assert verb(environment, "up").returncode == 0
    kill_when(environment, "down", lambda: not supervisor.is_running(stack))
    done = verb(environment, "up")
    assert (done.returncode, done.stderr) == (0, "")


def users(stack: Settings) -> set[str]:
    """The users, to whom the probe adds its own."""

    async def ask() -> set[str]:
        connection = await asyncpg.connect(superuser_url(stack, "auth"))
        try:
            return {each["email"] for each in await connection.fetch("select email from users")}
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_what_a_killed_clean_has_left_is_no_database(environment, stack):
    going = home(stack).with_name(f"{home(stack).name}.removed")
    kill_when(environment, "clean", lambda: going.exists() or [*stack.state.glob("*.removed")])
    assert verb(environment, "status").returncode == 1
    done = verb(environment, "up")
    assert (done.returncode, done.stderr) == (0, "")
    assert verb(environment, "clean").returncode == 0
    assert sorted(path.name for path in stack.state.iterdir()) == ["lock"]
    assert not going.exists()
