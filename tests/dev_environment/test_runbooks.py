"""The SQL of the runbooks runs on PostgreSQL; `tests/verbs` and `tests/stack` run their commands."""

import asyncio

import asyncpg
import pytest
from stack import postgres

from tests.fixtures import runbooks


@pytest.mark.parametrize("code", runbooks.of("sql"), ids=lambda code: code.text)
def test_the_sql_of_a_runbook_runs(postgres_server, code):
    async def run() -> None:
        connection = await asyncpg.connect(postgres.url(postgres_server))
        await connection.fetch(code.filled_in({"pid": "0", "database": "auth", "statement": "select 1"}))
        await connection.close()

    asyncio.run(run())
