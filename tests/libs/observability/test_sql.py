"""A statement within a trace is a span with its SQL and without its parameters, and the pool is measured."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from stack import postgres
from stack.ports import free_port

from libs.observability.sql import instrument_engine, summary_of, without_literals
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
    engine = create_async_engine(url, pool_size=3, max_overflow=2)
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
    assert failed.attributes["db.response.status_code"] == failed.attributes["error.type"] == "22012"


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


async def test_savepoints_leave_no_span(engine, spans):
    with tracer.start_as_current_span("request"):
        async with engine.begin() as connection, connection.begin_nested():
            await connection.execute(text("select 1"))
    assert [span.name for span in spans()] == ["SELECT postgres", "request"]


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
