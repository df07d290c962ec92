"""What PostgreSQL's own catalogue says about the tables of all services: no tenant's row is ever within another's reach.

Row-level security covers neither foreign keys nor unique constraints, and it keeps an index from being used for a
condition whose operator is not leakproof, as that of an enum is not.
"""

import re
from collections.abc import AsyncIterator, Iterable

import asyncpg
import pytest
from stack import postgres

from tests.fixtures.database import SERVICES

TENANT_TABLES = """
    select c.oid, c.relname as name, c.relrowsecurity, c.relforcerowsecurity from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace order by 2
"""
OTHER_TABLES = """
    select c.relname from pg_class c where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
    and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id') order by 1
"""
KEYS = """
    select c.conname as name, c.contype, a.attname as first_column, array_length(c.conkey, 1) as columns,
        (select count(*) from pg_attribute i where i.attrelid = c.conrelid and i.attnum = any(c.conkey)
         and i.attname in ('id', 'tenant_id')) as of_identity
    from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.conrelid = $1 and c.contype in ('u', 'f', 'p', 'x')
"""
INDEXES = """
    select i.indexrelid::regclass::text as name, a.attname as first_column from pg_index i
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = $1 and not i.indisprimary
"""

# What may stand without the tenant in front, and why nobody can learn anything of another tenant from it.
WITHOUT_TENANT_FIRST = {
    "outbox_pkey": "an event's id is a random UUID of ours",
    "ix_outbox_unsent": "the relay works across tenants",
}
WITHOUT_TENANT = {
    ("auth", "guesses"): "a guess is counted before anybody knows whether there is such an account",
    ("auth", "signing_keys"): "one key signs the tokens of all tenants",
    ("auth", "tenants"): "the directory of tenants; each is a row",
}
KITS_TABLES = ("outbox", "inbox", "idempotency_keys", "tenant_standings")
WITHOUT_CONDITION = {
    ("auth", "tenants", "anyone_reads"): "a login finds its tenant by the code before any tenant can be bound",
    **{
        (service, "tenant_standings", "anyone_reads"): "each process asks which tenants are stopped, whoever they are"
        for service in SERVICES
    },
}


@pytest.fixture(params=SERVICES)
async def catalogue(
    request: pytest.FixtureRequest, postgres_server: postgres.Server
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a service's database as a superuser."""
    connection = await asyncpg.connect(postgres.url(postgres_server, database=request.param))
    yield connection
    await connection.close()


@pytest.fixture(params=SERVICES)
async def service_role(
    request: pytest.FixtureRequest, postgres_server: postgres.Server
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a service's database as the service itself."""
    url = postgres.url(postgres_server, database=request.param, user=f"{request.param}_app")
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def unexplained(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name not in WITHOUT_TENANT_FIRST)


async def test_every_table_belongs_to_tenants(catalogue):
    service = await catalogue.fetchval("select current_database()")
    others = [name for (name,) in await catalogue.fetch(OTHER_TABLES) if name != "alembic_version"]
    assert [name for name in others if (service, name) not in WITHOUT_TENANT] == []
    assert len(await catalogue.fetch(TENANT_TABLES)) > 3


async def test_row_level_security_is_on_and_binds_the_owner(catalogue):
    for table in await catalogue.fetch(TENANT_TABLES):
        assert table["relrowsecurity"], table["name"]
        assert table["relforcerowsecurity"], table["name"]
        assert await catalogue.fetchval("select count(*) from pg_policy where polrelid = $1", table["oid"]), table[
            "name"
        ]


async def test_policies_for_everybody_ask_for_the_tenant(catalogue):
    """Permissive policies add up, so one with a wider condition would undo the others."""
    service = await catalogue.fetchval("select current_database()")
    for policy in await catalogue.fetch("select * from pg_policies"):
        name = (service, policy["tablename"], policy["policyname"])
        if name in WITHOUT_CONDITION:
            assert (policy["cmd"], policy["with_check"]) == ("SELECT", None), name
        elif policy["policyname"] == "relay_works_across_tenants":
            assert policy["tablename"] in KITS_TABLES, name
            assert policy["roles"] == [f"{service}_relay"], name
        elif policy["policyname"] == "relay_removes_expired":
            assert (policy["roles"], policy["qual"]) == ([f"{service}_relay"], "(expires_at < now())"), name
        else:
            for condition in filter(None, (policy["qual"], policy["with_check"])):
                assert re.fullmatch(r"\((tenant_)?id = current_tenant\(\)\)", condition), name


async def test_the_service_sees_nothing_without_a_tenant(service_role):
    for table in await service_role.fetch(TENANT_TABLES):
        assert await service_role.fetchval(f"select count(*) from {table['name']}") == 0


async def test_every_unique_and_foreign_key_begins_with_the_tenant(catalogue):
    found: list[str] = []
    for table in await catalogue.fetch(TENANT_TABLES):
        for key in await catalogue.fetch(KEYS, table["oid"]):
            is_own_id = key["contype"] == b"p" and key["columns"] == 1 and key["first_column"] == "id"
            if key["first_column"] != "tenant_id" and not is_own_id:
                found.append(key["name"])
    assert unexplained(found) == []


async def test_every_index_begins_with_the_tenant(catalogue):
    found: list[str] = []
    for table in await catalogue.fetch(TENANT_TABLES):
        indexes = await catalogue.fetch(INDEXES, table["oid"])
        found += [index["name"] for index in indexes if index["first_column"] != "tenant_id"]
    assert unexplained(found) == []


async def test_a_state_is_text_and_never_an_enum(catalogue):
    """The equality of enums is not leakproof: behind a policy it would never use an index."""
    assert await catalogue.fetch("select typname from pg_type where typtype = 'e'") == []


async def test_the_service_owns_nothing_and_stands_above_nothing(service_role):
    assert await service_role.fetch("select relname from pg_class where relowner = current_user::regrole") == []
    above = "select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user"
    assert await service_role.fetchval(above) is False
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service_role.execute("truncate outbox")
