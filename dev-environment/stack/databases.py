"""A database and three roles for each service, on any PostgreSQL server."""

from collections.abc import Iterable

import asyncpg

# `<service>_owner` owns the tables and migrates them. `<service>_app` is the running service; row-level security binds
# it. `<service>_relay` sees the outbox of all tenants; the service takes that role on by `set local role`.
ROLES = """
create role {service}_owner login nosuperuser nobypassrls nocreatedb nocreaterole;
create role {service}_app login nosuperuser nobypassrls nocreatedb nocreaterole;
create role {service}_relay nologin nosuperuser nobypassrls nocreatedb nocreaterole;
"""
PASSWORDS = """
alter role {service}_owner password {password};
alter role {service}_app password {password};
grant {service}_relay to {service}_app with inherit false, set true;
"""
RIGHTS = """
revoke all on database {service} from public;
grant connect on database {service} to {service}_app;
alter schema public owner to {service}_owner;
revoke all on schema public from public;
grant usage on schema public to {service}_app, {service}_relay;
alter default privileges for role {service}_owner in schema public
    grant select, insert, update, delete on tables to {service}_app;
alter default privileges for role {service}_owner in schema public
    grant usage, select on sequences to {service}_app;
"""


async def create(superuser_url: str, services: Iterable[str], *, password: str) -> None:
    """Create the databases `<service>` and their roles where they are missing; safe to repeat.

    `superuser_url` leads to the server's database `postgres`. The owner and the app role of each service get
    `password`, even if they exist already.
    """
    connection = await asyncpg.connect(superuser_url)
    try:
        # Two runs at the same time would both see a role missing. The lock ends with the connection.
        await connection.execute("select pg_advisory_lock(hashtext('all-erp databases'))")
        quoted = await connection.fetchval("select quote_literal($1::text)", password)
        for service in services:
            await _create_one(connection, superuser_url, service, quoted)
    finally:
        await connection.close()


async def _create_one(connection: asyncpg.Connection, superuser_url: str, service: str, password: str) -> None:
    if not await connection.fetchval("select true from pg_roles where rolname = $1", f"{service}_relay"):
        await connection.execute(ROLES.format(service=service))
    await connection.execute(PASSWORDS.format(service=service, password=password))
    if not await connection.fetchval("select true from pg_database where datname = $1", service):
        await connection.execute(f"create database {service} owner {service}_owner")
    inside = await asyncpg.connect(superuser_url, database=service)
    try:
        await inside.execute(RIGHTS.format(service=service))
    finally:
        await inside.close()
