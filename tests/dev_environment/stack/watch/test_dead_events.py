"""The operator's verbs for dead events, on the five real databases of local mode."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from stack import __main__ as command_line
from stack import postgres
from stack.settings import DEFAULTS, Settings

from tests.fixtures.database import PASSWORD

Run = Callable[..., Awaitable[int]]
INSERT = """
insert into outbox (event_id, destination, tenant_id, envelope, carrier, attempts, failed_at, error)
values ($1, $2, $3, $4, $5, 8, now(), $6)
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="session")
def service_name() -> str:
    return "tenant"


@pytest.fixture
def verb(postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb on the databases of the tests, or another port: `await verb("events-dead", "--json")`; its exit code.

    No .env, no variable of the shell and no container of this machine has a say: one of them would lead to a broker in use.
    """

    def run(*arguments: str, port: int = postgres_server.port) -> Awaitable[int]:
        own = {"MODE": "local", "STATE_DIR": str(tmp_path), "POSTGRES_PORT": str(port), "POSTGRES_PASSWORD": PASSWORD}
        monkeypatch.setattr(command_line, "read", lambda: Settings(DEFAULTS | own, {}))
        return asyncio.to_thread(command_line.main, arguments)

    return run


@pytest.fixture
async def die(superuser: asyncpg.Connection, tenant_id: UUID) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Put a dead event into tenant's outbox: `await die("budget")`; returns its id."""

    async def put(destination: str, error: str = "ValueError: not today") -> str:
        event_id = uuid4()
        envelope = {"id": str(event_id), "type": "tenant.created.v1", "source": "tenant-service"}
        carrier = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        await superuser.execute(
            INSERT, event_id, destination, tenant_id, json.dumps(envelope), json.dumps(carrier), error
        )
        return str(event_id)

    yield put
    await superuser.execute("delete from outbox where tenant_id = $1", tenant_id)


async def state(superuser: asyncpg.Connection, event_id: str) -> tuple[int, bool, bool]:
    """Attempts; whether it is dead; whether it is due."""
    row = "select attempts, failed_at is not null, next_attempt_at <= now() from outbox where event_id = $1"
    return tuple(await superuser.fetchrow(row, UUID(event_id)))


async def test_dead_events_are_listed_for_people_and_for_programs(verb, die, capsys, tenant_id):
    event_id = await die("budget")
    assert await verb("events-dead", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    [event] = [each for each in listed["events"] if each["tenant_id"] == str(tenant_id)]
    assert listed["not_listed"] == 0
    assert (event["event_id"], event["type"], event["trace_id"]) == (event_id, "tenant.created.v1", TRACE)
    assert (event["source"], event["destination"], event["place"]) == ("tenant-service", "budget", "outbox of tenant")
    assert (event["attempts"], event["reason"]) == (8, "ValueError: not today")

    assert await verb("events-dead") == 0
    table = capsys.readouterr().out
    for shown in (event_id, "tenant.created.v1", "tenant-service → budget", "8 times", "ValueError: not today", TRACE):
        assert shown in table


async def test_the_number_of_events_beyond_the_limit_is_shown(verb, die, capsys):
    for _ in range(3):
        await die("budget")
    assert await verb("events-dead", "--limit", "2") == 0
    assert "1 more: LIMIT=3 lists them all." in capsys.readouterr().out


async def test_control_characters_in_the_reason_of_a_refusal_do_not_reach_the_terminal(verb, die, capsys):
    await die("budget", "ValueError: \x1b[2Jgone")
    await verb("events-dead")
    assert "\\x1b[2Jgone" in capsys.readouterr().out


async def test_one_event_is_replayed_by_its_id_and_others_by_their_service(verb, die, superuser, capsys):
    one, two, other = await die("budget"), await die("budget"), await die("auth")
    assert await verb("events-replay", "--id", one) == 0
    assert f"replayed {one}  tenant.created.v1  to budget" in capsys.readouterr().out
    assert await state(superuser, one) == (0, False, True)
    assert (await state(superuser, two))[1]

    assert await verb("events-replay", "--service", "budget-service") == 0
    assert not (await state(superuser, two))[1]
    assert (await state(superuser, other))[1]

    assert await verb("events-replay", "--all") == 0
    assert not (await state(superuser, other))[1]
    assert await verb("events-replay", "--all") == 1
    assert "There is no such dead event" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--all", "--service", "budget"), ("--all", "--id", "x")])
async def test_exactly_one_thing_to_replay_must_be_named(verb, capsys, arguments):
    assert await verb("events-replay", *arguments) == 1
    message = capsys.readouterr().err
    for possible in ("ID=", "SERVICE=", "ALL=1"):
        assert possible in message


async def test_an_unknown_service_and_an_unknown_id_are_refused_each_by_its_name(verb, capsys):
    assert await verb("events-replay", "--service", "billing") == 1
    assert "There is no service 'billing'" in capsys.readouterr().err
    assert await verb("events-replay", "--id", "nonsense") == 1
    assert "There is no such dead event" in capsys.readouterr().err


async def test_a_database_that_does_not_answer_is_named(verb, capsys, free_tcp_port):
    assert await verb("events-dead", port=free_tcp_port) == 1
    message = capsys.readouterr().err
    assert f"auth-service on port {free_tcp_port}" in message
    assert "make up" in message
    assert PASSWORD not in message
