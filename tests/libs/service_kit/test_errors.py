"""Every error leaves as a problem document: precise to the caller, silent about the inside, passing where it passes."""

import asyncio
import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import SecretStr
from stack import postgres

from libs.observability import start
from libs.service_kit import availability, background
from libs.service_kit.database import create_pool
from libs.service_kit.errors import Conflict, NotFound, ServiceError, add_error_handlers, problems
from libs.service_kit.settings import DatabaseSettings
from tests.fixtures.waiting import eventually_async, until_somebody_waits
from tests.libs.service_kit.sockets import Door

NOTES = "/api/v1/notes"
NOTE = {"code": "a", "text": "b"}
RunProbe = Callable[..., Any]


class BudgetExceeded(Conflict):
    detail = "There is less left."


def assert_problem(answer: httpx.Response, status: int, slug: str | None) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    document = answer.json()
    assert (document["type"], document["status"]) == (f"/problems/{slug}" if slug else "about:blank", status)
    assert len(document["trace_id"]) == 32


def test_a_refusal_is_named_after_its_class():
    assert BudgetExceeded.slug() == "budget-exceeded"
    assert (BudgetExceeded.status, ServiceError.status) == (409, 500)


def test_refusals_of_one_status_are_described_together():
    described = problems(BudgetExceeded, Conflict, NotFound)
    assert set(described) == {404, 409}
    assert described[409]["description"].startswith("`budget-exceeded`: There is less left.; `conflict`: ")
    assert list(described[409]["content"]) == ["application/problem+json"]


async def test_the_document_describes_problems_and_nothing_else_for_errors(app):
    document = app.openapi()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {"type", "title", "status"}
    for path in document["paths"].values():
        for operation in path.values():
            for status, described in operation["responses"].items():
                if status == "default" or int(status) >= 400:
                    assert list(described["content"]) == ["application/problem+json"]


async def test_the_trace_id_is_the_one_that_came(client):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    answer = await client.get(f"{NOTES}/1", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    assert answer.json()["trace_id"] == trace_id


async def test_an_unexpected_error_says_nothing_of_the_inside(client):
    answer = await client.post(f"{NOTES}/broken")
    assert_problem(answer, 500, None)
    assert set(answer.json()) == {"type", "title", "status", "trace_id"}


async def test_a_constraint_that_stands_for_a_refusal_is_one_although_it_breaks_at_the_commit(
    client, superuser, tenant_id
):
    assert (await client.post(NOTES, json=NOTE)).status_code == 201
    answer = await client.post(NOTES, json=NOTE)
    assert_problem(answer, 409, "note-code-taken")
    assert answer.json()["detail"] == "There is a note with this code."
    assert await superuser.fetchval("select count(*) from notes where tenant_id = $1", tenant_id) == 1


async def test_any_other_constraint_is_an_unexpected_error(client):
    answer = await client.post(NOTES, json=NOTE | {"code": "unwanted"})
    assert_problem(answer, 500, None)
    assert "notes" not in answer.text


@asynccontextmanager
async def calling(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
        yield client


async def assert_away(client: httpx.AsyncClient) -> None:
    """Nothing that needs the database works, and each answer says that it is for now."""
    for answer in (await client.get(NOTES), await client.post(NOTES, json=NOTE)):
        assert_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["type"]) == (503, "/problems/not-ready")
    assert (await client.get("/health/live")).json() == {"status": "ok"}


async def assert_back(client: httpx.AsyncClient) -> None:
    """Everything works again, at the first try."""
    assert (await client.get(NOTES)).status_code == 200
    assert (await client.get("/health/ready")).json() == {"status": "ready"}


@pytest.fixture
async def door(postgres_server: postgres.Server) -> AsyncIterator[Door]:
    """The only way to the database."""
    opened = Door(postgres_server.port)
    await opened.open()
    yield opened
    opened.shut()


@pytest.fixture
async def behind_the_door(
    door: Door, run_probe: RunProbe, database_url: Callable[[str], str], make_token: Callable[..., str]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a probe whose database is behind the door."""
    inside = database_url("probe")
    url = SecretStr(inside.replace(f":{door._to}/", f":{door.port}/"))
    async with AsyncExitStack() as stack:
        probe = await stack.enter_async_context(run_probe(database=DatabaseSettings(url=url)))
        yield await stack.enter_async_context(calling(probe, make_token()))


async def test_a_database_that_goes_away_is_503_until_it_is_back(behind_the_door, door):
    await assert_back(behind_the_door)
    door.shut()
    await assert_away(behind_the_door)
    await door.open()
    await assert_back(behind_the_door)


async def test_a_database_that_hangs_up_at_once_is_503_too(behind_the_door, door):
    await assert_back(behind_the_door)
    await door.slam()
    await assert_away(behind_the_door)
    door.shut()
    await door.open()
    await assert_back(behind_the_door)


async def test_connections_that_the_server_ended_cost_one_answer_at_most(behind_the_door, superuser):
    await assert_back(behind_the_door)
    ended = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'probe_app'"
    await superuser.execute(ended)
    first = await behind_the_door.get(NOTES)
    assert first.status_code in (200, 503)
    await assert_back(behind_the_door)


async def test_a_server_without_a_place_for_us_is_503(run_probe, make_token, superuser):
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(run_probe())
        client = await stack.enter_async_context(calling(url, make_token()))
        await superuser.execute("alter role probe_app connection limit 0")
        await superuser.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'probe_app'")
        try:
            await client.get(NOTES)  # finds that its connection is gone
            await assert_away(client)
        finally:
            await superuser.execute("alter role probe_app connection limit -1")
        await assert_back(client)


async def test_a_pool_without_a_free_connection_is_503(
    run_probe,
    make_token,
    database_url,
    superuser,
):
    small = DatabaseSettings(url=SecretStr(database_url("probe")), pool_size=1, pool_timeout_seconds=0.05)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(run_probe(database=small))
        client = await stack.enter_async_context(calling(url, make_token()))
        await assert_back(client)
        async with superuser.transaction():
            await superuser.execute("lock table notes")
            first = asyncio.create_task(client.get(NOTES))
            await until_somebody_waits(superuser)
            assert_problem(await client.get(NOTES), 503, "overloaded")
            # A full pool is no database that is away: other replicas would get this one's requests, and be full too.
            assert (await client.get("/health/ready")).json() == {"status": "ready"}
        assert (await first).status_code == 200


async def test_a_plain_pool_without_a_free_connection_is_503_and_one_line(database_url, caplog):
    availability.REFUSALS.begin_anew()
    small = DatabaseSettings(url=SecretStr(database_url("probe")), pool_timeout_seconds=0.05)
    app, engine = FastAPI(), create_pool(small, 1)
    add_error_handlers(app, {})

    @app.get("/")
    async def connect() -> None:
        async with engine.connect():
            pass

    transport = httpx.ASGITransport(app)
    async with engine.connect(), httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = [await client.get("/") for _ in range(3)]
    await engine.dispose()
    assert {(each.status_code, each.headers["retry-after"], each.json()["type"]) for each in answers} == {
        (503, "1", "/problems/unavailable")
    }
    assert caplog.messages.count("the database refused the transaction") == 1


async def test_a_type_that_changes_under_a_connection_is_unavailable_and_then_known(client, superuser):
    for _ in range(9):  # until the statement is cached, and connections that an earlier test has cut are replaced
        await client.get(NOTES)
    await superuser.execute("alter table notes alter column text type varchar(900)")
    try:
        answers = [await client.get(NOTES) for _ in range(9)]
        assert_problem(answers[0], 503, "unavailable")
        assert answers[0].headers["retry-after"]
        assert answers[-1].status_code == 200
        assert {answer.status_code for answer in answers} == {200, 503}
    finally:
        await superuser.execute("alter table notes alter column text type text")
        for _ in range(9):
            await client.get(NOTES)


def told(caplog: pytest.LogCaptureFixture, *, about: str) -> list[tuple[str, dict[str, Any]]]:
    """The lines about a dependency: message and fields. None of them may have a stack."""
    records = [each for each in caplog.records if vars(each).get("_fields", {}).get("dependency") == about]
    assert not [each for each in records if each.exc_info]
    return [(each.getMessage(), vars(each)["_fields"]) for each in records]


async def test_a_database_that_is_away_is_told_once_and_its_return_with_the_number_of_refused_requests(
    behind_the_door, door, caplog, monkeypatch
):
    monkeypatch.setattr(availability, "SETTLED_SECONDS", 0.0)
    await assert_back(behind_the_door)
    caplog.clear()
    door.shut()
    for _ in range(5):
        assert_problem(await behind_the_door.get(NOTES), 503, "unavailable")
    assert REGISTRY.get_sample_value("dependency_up", {"dependency": "database"}) == 0
    [(message, fields)] = told(caplog, about="database")
    assert message == "a dependency does not answer"
    assert "sqlalchemy" not in fields["error"]["type"]
    assert fields["error"]["message"]
    await door.open()
    assert (await behind_the_door.get(NOTES)).status_code == 200
    [_, (message, fields)] = told(caplog, about="database")
    assert (message, fields["refused"]) == ("a dependency answers again", 5)
    assert REGISTRY.get_sample_value("dependency_up", {"dependency": "database"}) == 1


def test_a_dependency_is_not_up_before_it_has_answered_nor_after_it_was_left(caplog):
    def up() -> float | None:
        return REGISTRY.get_sample_value("dependency_up", {"dependency": "new"})

    dependency = availability.Dependency("new")
    assert up() == 0
    dependency.answered()
    assert up() == 1
    dependency.left()
    assert up() == 0
    assert not told(caplog, about="new")


def test_an_error_that_comes_again_and_again_is_one_line_a_minute_with_a_count(caplog, monkeypatch):
    failures = availability.Failures("cannot work", NotFound)
    for error in (ValueError("a"), NotFound(), ValueError("b"), ConnectionError("c"), NotFound()):
        failures.tell(error, work="x")
    lines = [(record.levelname, bool(record.exc_info)) for record in caplog.records]
    assert lines == [("ERROR", True), ("WARNING", False), ("WARNING", False)]
    monkeypatch.setattr(availability, "REPEAT_SECONDS", 0.0)
    failures.tell(ValueError("d"), work="x")
    assert vars(caplog.records[-1])["_fields"].items() >= {"work": "x", "failures": 1}.items()


def test_a_success_among_failures_is_no_return(caplog):
    dependency = availability.Dependency("flapping")
    dependency.failed(ConnectionError("gone"))
    dependency.answered()
    dependency.failed(ConnectionError("gone"))
    assert [message for message, _ in told(caplog, about="flapping")] == ["a dependency does not answer"]
    assert REGISTRY.get_sample_value("dependency_refused_requests_total", {"dependency": "flapping"}) == 2


def test_what_stays_away_is_told_again_with_a_count(caplog, monkeypatch):
    dependency = availability.Dependency("long away")
    monkeypatch.setattr(availability, "REPEAT_SECONDS", 0.0)
    for _ in range(3):
        dependency.failed(ConnectionError("gone"))
    assert [(message, fields.get("refused")) for message, fields in told(caplog, about="long away")] == [
        ("a dependency does not answer", None),
        ("a dependency still does not answer", 1),
        ("a dependency still does not answer", 2),
    ]


async def test_background_work_that_finds_no_database_is_counted_and_not_told_each_time(caplog, monkeypatch):
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.001)
    monkeypatch.setattr(availability, "DATABASE", availability.Dependency("away"))
    tries = 0

    async def work(_: object) -> None:
        nonlocal tries
        tries += 1
        raise ConnectionRefusedError("no")

    async def has_tried_often() -> bool:
        return tries > 5

    running = asyncio.create_task(background._keep_running("work", work, cast("Any", None)))
    await eventually_async(has_tried_often, 10)
    running.cancel()
    assert len(told(caplog, about="away")) == 1
    assert not [record for record in caplog.records if record.exc_info]


async def test_background_work_that_fails_each_time_is_told_once(caplog, monkeypatch):
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.001)
    tries = 0

    async def work(_: object) -> None:
        nonlocal tries
        tries += 1
        raise ValueError("a mistake")

    async def has_tried_often() -> bool:
        return tries > 5

    running = asyncio.create_task(background._keep_running("work", work, cast("Any", None)))
    await eventually_async(has_tried_often, 10)
    running.cancel()
    assert caplog.messages == ["background work failed and starts again"]


def test_a_refusal_keeps_its_detail_when_docstrings_are_removed():
    code = (
        "from libs.service_kit.errors import Conflict, problems\n"
        "class BudgetExceeded(Conflict):\n    detail = 'Nothing is left.'\n"
        "print(BudgetExceeded().detail, problems(BudgetExceeded)[409]['description'])"
    )
    shown = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "Nothing is left. `budget-exceeded`: Nothing is left.\n"


def test_every_refusal_of_the_services_has_a_detail_of_its_own_that_is_a_sentence():
    for path in (Path(__file__).parents[3] / "services").glob("*/*/errors.py"):
        module = importlib.import_module(".".join(path.relative_to(path.parents[3]).with_suffix("").parts))
        for refusal in vars(module).values():
            if (
                isinstance(refusal, type)
                and issubclass(refusal, ServiceError)
                and refusal.__module__ == module.__name__
            ):
                assert "detail" in vars(refusal)
                assert refusal.detail[0].isupper() and refusal.detail.endswith(".")


Ask = Callable[[httpx.AsyncClient, Callable[..., httpx.AsyncClient]], Any]
NOTE_ROUTE = f"{NOTES}/{{note_id}}"
REFUSALS: dict[str, tuple[str, Ask]] = {
    "unauthorized": (NOTES, lambda c, _: c.get(NOTES, headers={"authorization": ""})),
    "forbidden": (NOTES, lambda _, make: make("budget:read").get(NOTES)),
    "unknown-note": (NOTE_ROUTE, lambda c, _: c.get(f"{NOTES}/{uuid4()}")),
    "method-not-allowed": (NOTE_ROUTE, lambda c, _: c.put(f"{NOTES}/{uuid4()}")),
    "invalid-input": (NOTES, lambda c, _: c.post(NOTES, json={"code": 1, "text": "hunter2" * 99})),
    "unsupported-media-type": (NOTES, lambda c, _: c.post(NOTES, content="a", headers={"content-type": "text/plain"})),
    "precondition-required": (NOTE_ROUTE, lambda c, _: c.patch(f"{NOTES}/{uuid4()}", json={"text": "b"})),
    "internal-server-error": (f"{NOTES}/broken", lambda c, _: c.post(f"{NOTES}/broken")),
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_each_refusal_says_why_in_its_line_and_in_a_counter(client, make_client, capfd, code):
    handler, ask = REFUSALS[code]

    async def counted() -> float | None:
        await client.get("/health/live")  # records what has ended
        return REGISTRY.get_sample_value("http_problems_total", {"handler": handler, "type": code})

    await client.get(NOTES)  # a connection that an earlier test has cut would be refused with another problem
    before = await counted() or 0
    answer = await ask(client, make_client)
    assert await counted() == before + 1
    start().lines.flush()
    shown = capfd.readouterr().err
    assert ("RuntimeError" if code == "internal-server-error" else f"{code}: {answer.json()['detail']}") in shown
    assert "hunter2" not in shown


async def test_the_wrong_fields_are_named_in_the_line_without_what_they_hold(client, capfd):
    await client.post(NOTES, json={"code": "hunter2" * 99, "surprise": 1})
    await client.get("/health/live")  # records what has ended
    start().lines.flush()
    shown = capfd.readouterr().err
    assert "/body/code string_pattern_mismatch" in shown
    assert "/body/text missing" in shown
    assert "/body/surprise extra_forbidden" in shown
    assert "hunter2" not in shown


async def test_the_problems_that_a_route_documents_are_counted_from_0(client):
    for code in ("note-code-taken", "unauthorized", "forbidden", "invalid-input", "unavailable", "overloaded"):
        assert REGISTRY.get_sample_value("http_problems_total", {"handler": NOTES, "type": code}) is not None
    for handler in ("/health/ready", "/docs"):
        assert REGISTRY.get_sample_value("http_problems_total", {"handler": handler, "type": "unavailable"}) is None
