"""A statement within a trace is a span with its SQL and without its parameters, and the pool is measured."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from stack import postgres
from stack.ports import free_port

from libs.observability import sql
from libs.observability.pool import WAIT_SPAN, MeasuredPool
from libs.observability.sql import instrument_engine, timed
from libs.observability.sql_text import summary_of, without_literals
from libs.observability.traces.clients import quietly

tracer = trace.get_tracer("test")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """A PostgreSQL without the services' databases: the layer is tested without them, as it is used."""
    server = postgres.at(tmp_path_factory.mktemp("postgres"), port=free_port(), password="only-for-tests")
    postgres.start(server)
    yield server
    postgres.stop(server)
    postgres.remove(server)


@pytest.fixture
async def engine(server: postgres.Server) -> AsyncIterator[AsyncEngine]:
    url = postgres.url(server, database="postgres", driver="postgresql+asyncpg")
    engine = create_async_engine(
        url, pool_size=3, max_overflow=2, pool_timeout=0.2, poolclass=MeasuredPool, pool_logging_name="postgres"
    )
    instrument_engine(engine, max_overflow=2)
    yield engine
    await engine.dispose()


async def test_a_statement_is_a_span_with_its_text_and_without_its_parameters(engine, spans):
    with tracer.start_as_current_span("request") as request:
        async with engine.connect() as connection:
            await connection.execute(text("select :secret"), {"secret": "hunter2"})
    statements = [span for span in spans() if span.attributes.get("db.operation.name") == "SELECT"]
    asked = statements[-1]
    assert (asked.name, asked.kind) == ("SELECT postgres", SpanKind.CLIENT)
    assert asked.parent.span_id == request.get_span_context().span_id
    assert asked.attributes["db.system.name"] == "postgresql"
    assert asked.attributes["db.namespace"] == "postgres"
    assert asked.attributes["server.address"] == "127.0.0.1"
    assert asked.attributes["db.query.summary"] == "SELECT"
    assert "select $1" in asked.attributes["db.query.text"]
    assert "hunter2" not in asked.to_json()


async def test_many_rows_at_once_are_one_span(engine, spans):
    async with engine.begin() as connection:
        await connection.execute(text("create temporary table numbers (n int)"))
        with tracer.start_as_current_span("request"):
            await connection.execute(text("insert into numbers values (:n)"), [{"n": 1}, {"n": 2}, {"n": 3}])
    insert = spans()[0]
    assert (insert.name, insert.attributes["db.operation.batch.size"]) == ("INSERT numbers", 3)
    assert insert.attributes["db.collection.name"] == "numbers"


async def test_a_statement_that_fails_marks_its_span(engine, spans):
    with tracer.start_as_current_span("request"):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError):
                await connection.execute(text("select 1 / 0"))
    [failed] = [span for span in spans() if span.status.status_code is StatusCode.ERROR]
    assert failed.attributes["db.response.status_code"] == "22012"
    assert failed.attributes["error.type"] == "asyncpg.exceptions.DivisionByZeroError"


async def test_outside_of_a_trace_and_in_a_quiet_one_there_is_no_span(engine, spans):
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))
        with tracer.start_as_current_span("health"), quietly():
            await connection.execute(text("select 1"))
    assert [span.name for span in spans()] == ["health"]


async def test_statements_side_by_side_keep_their_parents(engine, spans):
    async def ask(name: str) -> None:
        with tracer.start_as_current_span(name):
            async with engine.connect() as connection:
                await connection.execute(text("select pg_sleep(0.02)"))

    await asyncio.gather(ask("a"), ask("b"), ask("c"))
    requests = {span.context.span_id: span.name for span in spans() if span.name in "abc"}
    asked = [span for span in spans() if "pg_sleep" in span.attributes.get("db.query.text", "")]
    assert sorted(requests[span.parent.span_id] for span in asked) == ["a", "b", "c"]


async def test_the_pool_is_measured(engine):
    def connections(state: str) -> float | None:
        return REGISTRY.get_sample_value("db_pool_connections", {"pool": "postgres", "state": state})

    async with engine.connect():
        assert (connections("in_use"), connections("idle")) == (1, 0)
    assert (connections("in_use"), connections("idle")) == (0, 1)
    assert REGISTRY.get_sample_value("db_pool_limit", {"pool": "postgres"}) == 5


def pool(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"pool": "postgres"}) or 0.0


def operations(operation: str) -> float:
    labels = {"pool": "postgres", "operation": operation}
    return REGISTRY.get_sample_value("db_client_operation_duration_seconds_count", labels) or 0.0


async def test_waiting_for_a_connection_is_a_span_and_is_measured(engine, spans):
    before, timeouts = pool("db_pool_wait_seconds_count"), pool("db_pool_timeouts_total")
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(engine.connect()) for _ in range(5)]

        async def ask() -> None:
            with tracer.start_as_current_span("request"):
                async with engine.connect() as connection:
                    await connection.execute(text("select 1"))

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        assert pool("db_pool_pending_requests") == 1
        await held[0].close()
        await asking
        assert [span.name for span in spans()] == [WAIT_SPAN, "SELECT postgres", "request"]
        assert (pool("db_pool_pending_requests"), pool("db_pool_timeouts_total") - timeouts) == (0, 0)

        await stack.enter_async_context(engine.connect())
        with pytest.raises(PoolTimeout):
            await ask()
    in_vain = spans()[3]
    assert (in_vain.name, in_vain.attributes["error.type"]) == (WAIT_SPAN, "sqlalchemy.exc.TimeoutError")
    assert in_vain.attributes["db.client.connection.pool.name"] == "postgres"
    assert (pool("db_pool_wait_seconds_count") - before, pool("db_pool_timeouts_total") - timeouts) == (2, 1)


async def test_who_finds_a_connection_free_leaves_no_span_and_no_wait(engine, spans):
    before = pool("db_pool_wait_seconds_count")
    async with engine.connect():
        pass
    with tracer.start_as_current_span("request"):
        async with engine.connect():
            pass
    assert [span.name for span in spans()] == ["request"]
    assert pool("db_pool_wait_seconds_count") == before


async def test_a_pool_that_is_made_anew_is_measured_too(engine):
    await engine.dispose()
    assert isinstance(engine.pool, MeasuredPool)
    assert engine.pool.logging_name == "postgres"


@pytest.mark.parametrize(("ending", "name"), [("commit", "COMMIT"), ("rollback", "ROLLBACK")])
async def test_the_end_of_a_transaction_that_wrote_is_a_span(engine, spans, ending, name):
    before = operations(name)
    async with engine.connect() as connection:
        with tracer.start_as_current_span("request") as request:
            await connection.execute(text("create temporary table written (n int)"))
            await getattr(connection, ending)()
            await connection.execute(text("select 1"))
            await getattr(connection, ending)()
    ended = [span for span in spans() if span.attributes.get("db.operation.name") == name]
    assert [(span.name, span.parent.span_id) for span in ended] == [
        (f"{name} postgres", request.get_span_context().span_id)
    ]
    assert ended[0].attributes["db.query.summary"] == name
    assert operations(name) == before + 1


async def test_a_commit_that_fails_says_why(engine, spans):
    async with engine.connect() as connection:
        with tracer.start_as_current_span("request"):
            await connection.execute(text("create temporary table late (n int unique deferrable initially deferred)"))
            await connection.execute(text("insert into late values (1), (1)"))
            with pytest.raises(DBAPIError):
                await connection.commit()
    [failed] = [span for span in spans() if span.status.status_code is StatusCode.ERROR]
    assert (failed.name, failed.attributes["db.response.status_code"]) == ("COMMIT postgres", "23505")


@pytest.mark.parametrize(
    ("url", "kind", "state"),
    [
        ("postgresql+asyncpg://postgres:x@127.0.0.1:{free}/postgres", "ConnectionRefusedError", None),
        ("postgresql+asyncpg://postgres:x@no-such-host.invalid/postgres", "socket.gaierror", None),
        ("postgresql+asyncpg://postgres:x@127.0.0.1:{port}/none", "asyncpg.exceptions.InvalidPasswordError", "28P01"),
    ],
)
async def test_a_connection_that_cannot_be_made_says_why(server, spans, url, kind, state):
    engine = create_async_engine(url.format(free=free_port(), port=server.port))
    instrument_engine(engine)
    with tracer.start_as_current_span("request"), pytest.raises((OSError, asyncpg.PostgresError, DBAPIError)):
        await engine.connect()
    [failed] = [span for span in spans() if span.attributes.get("db.operation.name") == "CONNECT"]
    assert (failed.status.status_code, failed.attributes["error.type"]) == (StatusCode.ERROR, kind)
    assert failed.attributes.get("db.response.status_code") == state
    await engine.dispose()


async def test_statements_are_timed_by_operation_in_and_outside_of_a_trace(engine):
    before = operations("SELECT"), operations("OTHER")
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))
        await connection.execute(text("show work_mem"))
        await connection.run_sync(lambda sync: timed(sync, "select 2", lambda: None))
    assert (operations("SELECT"), operations("OTHER")) == (before[0] + 2, before[1] + 1)


async def test_a_statement_run_apart_is_a_span_only_if_it_is_slow_or_fails(engine, spans, monkeypatch):
    def fail() -> None:
        raise ValueError("no")

    async with engine.connect() as connection:
        with tracer.start_as_current_span("request"):
            await connection.run_sync(lambda sync: timed(sync, "select 1", lambda: None))
            assert spans() == []
            with pytest.raises(ValueError, match="no"):
                await connection.run_sync(lambda sync: timed(sync, "select 2", fail))
            monkeypatch.setattr(sql, "SLOW_SECONDS", 0.0)
            await connection.run_sync(lambda sync: timed(sync, "select 3", lambda: None))
    assert [span.attributes.get("error.type") for span in spans()[:2]] == ["ValueError", None]
    assert [span.attributes["db.query.text"] for span in spans()[:2]] == ["select ?", "select ?"]


async def test_savepoints_leave_no_span(engine, spans):
    with tracer.start_as_current_span("request"):
        async with engine.begin() as connection, connection.begin_nested():
            await connection.execute(text("select 1"))
    assert [span.name for span in spans() if "CONNECT" not in span.name] == ["SELECT postgres", "request"]


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("select 1", ("SELECT", "")),
        ("select * from only orders join lines", ("SELECT", "orders")),
        ('  update "orders" set x', ("UPDATE", "orders")),
        ("insert into shop.orders values", ("INSERT", "shop.orders")),
        ("WITH a AS (…)", ("WITH", "")),
        ("commit;", ("COMMIT", "")),
        ("", ("EMPTY", "")),
    ],
)
def test_a_summary_is_the_first_word_and_the_first_table(statement, summary):
    assert summary_of(statement) == summary


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("select * from a where b = 'hunter2' and c = $1", "select * from a where b = ? and c = $1"),
        ("select 'it''s', E'it\\'s hunter2', \"it's\", 'C:\\', 'hunter2'", 'select ?, ?, "it\'s", ?, ?'),
        ("select $$hunter2 'x'$$, $a$hunter2$a$, U&'hunter2', x'FF', n'x'", "select ?, ?, ?, ?, ?"),
        (
            "select 1, -2.5, 1e10, .5, t1.c2, 900101, $12, :p1, a::char(3)",
            "select ?, -?, ?, ?, t1.c2, ?, $12, :p1, a::char(?)",
        ),
        ("select a -- it's hunter2\nfrom b /* it's\nhunter2 */ where c = 'hunter2'", "select a \nfrom b  where c = ?"),
        ("select 'hunter2 is cut", "select ?"),
        ('select %s, %(name)s, ? from "t"', 'select %s, %(name)s, ? from "t"'),
    ],
)
def test_a_literal_in_the_text_of_a_statement_is_not_shown(statement, shown):
    assert without_literals(statement) == shown


def test_a_string_in_double_quotes_is_not_shown_where_it_is_one():
    assert without_literals('select `a`, "hunter2", \'a\\\'hunter2\', "a\\"hunter2"', True) == "select `a`, ?, ?, ?"


def test_the_text_of_a_statement_is_cut_within_no_literal():
    assert "hunter2" not in without_literals("select '" + "hunter2 " * 10_000)
