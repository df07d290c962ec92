"""What the runbooks say to type works: the SQL runs on PostgreSQL, and each verb of `make` is there."""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
from stack import postgres

ROOT = Path(__file__).parents[2]
RUNBOOKS = {path.stem: path.read_text() for path in sorted((ROOT / "dev-environment/runbooks").glob("*.md"))}
# In backquotes, or indented as a block up to its semicolon.
STATEMENT = re.compile(r"`(select [^`]+)`|^ {6}(select [^;]+);", re.MULTILINE)
STATEMENTS = [
    (name, (inline or block).replace("<pid>", "0"))
    for name, text in RUNBOOKS.items()
    for inline, block in STATEMENT.findall(text)
]
VERBS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("name", "statement"), STATEMENTS)
def test_the_sql_of_a_runbook_runs(postgres_server, name, statement):
    async def run() -> None:
        connection = await asyncpg.connect(postgres.url(postgres_server))
        await connection.fetch(statement)
        await connection.close()

    asyncio.run(run())


def test_each_sql_of_a_runbook_is_found():
    assert len(STATEMENTS) == sum(text.lower().count("select ") for text in RUNBOOKS.values())


@pytest.mark.parametrize("name", RUNBOOKS)
def test_the_verbs_of_a_runbook_are_those_of_the_makefile(name):
    assert set(re.findall(r"`make ([a-z-]+)", RUNBOOKS[name])) <= VERBS
