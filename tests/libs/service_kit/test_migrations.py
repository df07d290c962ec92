"""Migrations run once however many begin them, and a service knows whether its database is up to date."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from alembic import command
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import text
from stack import databases, postgres

from libs.service_kit import migrations
from libs.service_kit.database import create_engine
from libs.service_kit.settings import DatabaseSettings
from tests.fixtures.database import PASSWORD
from tests.libs.service_kit.conftest import PROBE, owner_url

# What `python -m libs.service_kit.migrations` does, in a house where the probe is a service.
COMMAND = f"""
from pathlib import Path
from libs.service_kit import migrations
migrations.SERVICES = Path({str(PROBE.parent)!r})
migrations.main()
"""

LATER = "9999"  # a revision that only a later version knows

PROBES_RIGHTS = """
alter schema public owner to probe_owner;
grant connect on database probe_empty to probe_owner, probe_app;
grant usage on schema public to probe_app, probe_relay;
alter default privileges for role probe_owner in schema public
    grant select, insert, update, delete on tables to probe_app;
"""


async def run_command(*arguments: str, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        *arguments,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | environment,
        cwd=Path(migrations.__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.fixture
async def empty(postgres_server: postgres.Server) -> Any:
    """The name of an empty database with the probe's roles."""
    await databases.create(postgres.url(postgres_server), ["probe_empty"], password=PASSWORD)
    superuser = await asyncpg.connect(postgres.url(postgres_server, database="probe_empty"))
    await superuser.execute(PROBES_RIGHTS)
    await superuser.close()
    yield "probe_empty"
    admin = await asyncpg.connect(postgres.url(postgres_server))
    await admin.execute("drop database probe_empty with (force)")
    await admin.close()


async def test_four_starts_at_once_migrate_once(postgres_server, empty):
    template = owner_url(postgres_server, f"{{service}}{empty.removeprefix('probe')}")
    done = await asyncio.gather(*(run_command("upgrade", "probe", MIGRATE_URL_TEMPLATE=template) for _ in range(4)))
    assert done == [(0, "upgrade probe: done\n")] * 4
    inside = await asyncpg.connect(postgres.url(postgres_server, database=empty))
    assert await inside.fetch("select version_num from alembic_version") == [(migrations.newest("probe"),)]
    assert await inside.fetchval("select count(*) from notes") == 0
    await inside.close()


async def test_an_empty_database_is_not_migrated_and_one_of_this_version_or_a_later_one_is(postgres_server, empty):
    owner = owner_url(postgres_server, empty)
    engine = create_engine(DatabaseSettings(url=SecretStr(owner)))
    try:
        async with engine.connect() as connection:
            assert not await migrations.is_migrated(connection, "probe")
        await migrations.run("probe", owner, lambda config: command.upgrade(config, "head"))
        async with engine.connect() as connection:
            assert await migrations.is_migrated(connection, "probe")
            for revision, is_migrated in (("0000", False), (LATER, True)):
                await connection.execute(text(f"update alembic_version set version_num = '{revision}'"))
                assert await migrations.is_migrated(connection, "probe") is is_migrated
    finally:
        await engine.dispose()


async def test_an_earlier_version_leaves_a_database_that_a_later_one_has_migrated(postgres_server, empty):
    template = owner_url(postgres_server, f"{{service}}{empty.removeprefix('probe')}")
    assert (await run_command("upgrade", "probe", MIGRATE_URL_TEMPLATE=template))[0] == 0
    inside = await asyncpg.connect(postgres.url(postgres_server, database=empty))
    await inside.execute("update alembic_version set version_num = $1", LATER)
    code, said = await run_command("upgrade", "probe", MIGRATE_URL_TEMPLATE=template)
    assert (code, f"of a later version, {LATER}, and stays as it is" in said) == (0, True)
    assert await inside.fetchval("select version_num from alembic_version") == LATER
    await inside.close()


async def test_models_and_migrations_agree(postgres_server):
    await migrations.run("probe", owner_url(postgres_server), command.check)


async def test_a_model_that_has_moved_on_is_found(postgres_server, empty):
    owner = owner_url(postgres_server, empty)
    await migrations.run("probe", owner, lambda config: command.upgrade(config, "head"))
    inside = await asyncpg.connect(owner.replace("+asyncpg", ""))
    await inside.execute("alter table outbox drop column error")
    await inside.close()
    with pytest.raises(CommandError, match="add_column"):
        await migrations.run("probe", owner, command.check)


async def test_a_migration_that_fails_leaves_nothing(postgres_server, empty):
    owner = owner_url(postgres_server, empty)
    inside = await asyncpg.connect(owner.replace("+asyncpg", ""))
    await inside.execute("create table notes ()")  # in the way of the migration's last step
    with pytest.raises(Exception, match="already exists"):
        await migrations.run("probe", owner, lambda config: command.upgrade(config, "head"))
    assert [name for (name,) in await inside.fetch("select tablename from pg_tables where schemaname = 'public'")] == [
        "notes"
    ]
    await inside.close()


async def test_a_service_on_a_database_that_is_not_migrated_is_not_ready(
    run_probe, database_url, postgres_server, empty
):
    url = f"{database_url('probe').removesuffix('probe')}{empty}"
    async with (
        run_probe(database=DatabaseSettings(url=SecretStr(url))) as base,
        httpx.AsyncClient(base_url=base) as client,
    ):
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["detail"]) == (503, "The database is not migrated to this version.")
        await migrations.run("probe", owner_url(postgres_server, empty), lambda config: command.upgrade(config, "head"))
        assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("template", ["", "postgresql+asyncpg://somewhere/fixed"])
async def test_the_command_says_what_it_needs(template):
    status, output = await run_command("upgrade", "probe", MIGRATE_URL_TEMPLATE=template)
    assert status != 0
    assert "MIGRATE_URL_TEMPLATE" in output
    assert "Traceback" not in output
