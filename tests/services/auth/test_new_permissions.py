"""The administrators of tenants that exist get the permissions that came later when auth is migrated; other roles do not."""

from functools import partial

import asyncpg
from alembic import command
from stack import databases, postgres

from libs.service_kit import migrations
from services.auth.roles.service import TENANT_ROLES
from tests.fixtures.database import PASSWORD


async def test_the_migrations_give_the_permissions_to_built_in_administrators_only(postgres_server):
    await databases.create(postgres.url(postgres_server), ["earlier"], password=PASSWORD)
    owner = postgres.url(postgres_server, database="earlier", user="earlier_owner", driver="postgresql+asyncpg")
    await migrations.run("auth", owner, partial(command.upgrade, revision="0002"))
    superuser = await asyncpg.connect(postgres.url(postgres_server, database="earlier"))
    before = sorted(set(TENANT_ROLES["administrator"]) - {"tenant:export", "system:write"})
    add = "insert into roles (tenant_id, name, permissions, is_builtin, version) values (uuidv7(), $1, $2, $3, 1)"
    await superuser.executemany(
        add, [("administrator", before, True), ("administrator", before, False), ("member", before, True)]
    )
    await migrations.run("auth", owner, partial(command.upgrade, revision="head"))
    rows = await superuser.fetch("select permissions, version from roles order by is_builtin and name <> 'member'")
    forced = await superuser.fetchval("select relforcerowsecurity from pg_class where relname = 'roles'")
    await superuser.close()
    assert [list(row) for row in rows] == [[before, 1], [before, 1], [sorted(TENANT_ROLES["administrator"]), 3]]
    assert forced
