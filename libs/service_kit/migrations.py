"""Alembic in code: the body of every `env.py`, the kit's own tables, and one process that brings databases up to date.

python -m libs.service_kit.migrations upgrade auth tenant      (MIGRATE_URL_TEMPLATE says where)
"""

import argparse
import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import SchemaItem

if TYPE_CHECKING:  # a running service does not need Alembic, which is large
    from alembic.config import Config

SERVICES = Path(__file__).parents[2] / "services"
# An arbitrary number that all processes share: one migration at a time in a database.
_LOCK = 727274


def run_env(metadata: MetaData) -> None:
    """The body of a service's `migrations/env.py`."""
    from alembic import context

    from libs.service_kit.tables import KitBase

    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=[metadata, KitBase.metadata],
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def newest(service: str) -> str:
    """The newest revision in a service's folder: revisions are numbered `0001`, `0002` … and so are their files."""
    return max(path.name[:4] for path in (SERVICES / service / "migrations" / "versions").glob("[0-9]*.py"))


async def is_migrated(connection: AsyncConnection, service: str) -> bool:
    """Whether the database has the newest revision that this version knows, or a later one; False for an empty one.

    In a roll-out the next version migrates first, and the old one serves on until it is replaced.
    """
    if not (await connection.execute(text("select to_regclass('alembic_version')"))).scalar():
        return False
    revision = (await connection.execute(text("select version_num from alembic_version"))).scalar()
    return revision is not None and str(revision) >= newest(service)


async def run(service: str, url: str, action: "Callable[[Config], object]") -> None:
    """Run an Alembic command in one locked transaction of the service's database, as the owner that `url` names."""
    from alembic.config import Config

    def work(connection: Connection) -> None:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config = Config()
        config.set_main_option("script_location", str(SERVICES / service / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        action(config)

    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    finally:
        await engine.dispose()


async def upgrade_all(services: Sequence[str], url_template: str) -> None:
    """Bring the databases of these services to their newest revision, one after the other.

    `url_template` holds `{service}`, for example `postgresql+asyncpg://{service}_owner:…@localhost/{service}`.
    """
    for service in services:  # not concurrently: Alembic keeps its context in a global
        await run(service, url_template.format(service=service), _upgrade(service))


def _upgrade(service: str) -> "Callable[[Config], None]":
    """The upgrade of a service's database; one that a later version has migrated already stays as it is."""

    def work(config: "Config") -> None:
        from alembic import command
        from alembic.runtime.migration import MigrationContext

        revision = MigrationContext.configure(config.attributes["connection"]).get_current_revision()
        if revision is None or revision <= newest(service):
            command.upgrade(config, "head")
        else:
            print(f"{service}: the database is of a later version, {revision}, and stays as it is", flush=True)

    return work


_KIT_TABLES = (
    """
    create function current_tenant() returns uuid language sql stable parallel safe
      as $$ select nullif(current_setting('app.tenant_id', true), '')::uuid $$
    """,
    """
    create table outbox (
      event_id uuid not null, destination text not null, position bigint not null generated always as identity,
      tenant_id uuid not null, envelope jsonb not null, carrier jsonb not null,
      created_at timestamptz not null default now(), next_attempt_at timestamptz not null default now(),
      attempts integer not null default 0, published_at timestamptz, failed_at timestamptz, error text,
      constraint outbox_pkey primary key (event_id, destination)) with (autovacuum_vacuum_scale_factor = 0.02)
    """,
    """
    create index ix_outbox_unsent on outbox (destination, position)
      where published_at is null and failed_at is null
    """,
    """
    create table inbox (
      event_id uuid not null, tenant_id uuid not null, received_at timestamptz not null default now(),
      constraint inbox_pkey primary key (event_id))
    """,
    """
    create table idempotency_keys (
      tenant_id uuid not null, key text not null, fingerprint text not null, status integer, headers jsonb,
      body jsonb, created_at timestamptz not null default now(),
      constraint idempotency_keys_pkey primary key (tenant_id, key))
    """,
    "alter table outbox enable row level security",
    "alter table outbox force row level security",
    "create policy tenant_adds on outbox for insert with check (tenant_id = current_tenant())",
)


def create_kit_tables(op: ModuleType) -> None:
    """The first migration of every service: outbox, inbox, idempotency keys, and the tenant function.

    It belongs to the history and is never edited; a change of these tables is a new function.
    """
    owner = op.get_bind().execute(text("select current_user")).scalar_one()
    relay = f"{owner.removesuffix('_owner')}_relay"
    for statement in _KIT_TABLES:
        op.execute(statement)
    enable_tenancy(op, "inbox")
    enable_tenancy(op, "idempotency_keys")
    for table in ("outbox", "inbox", "idempotency_keys"):
        op.execute(f"create policy relay_works_across_tenants on {table} to {relay} using (true)")
        op.execute(f"grant select, update, delete on {table} to {relay}")


def key_inbox_by_tenant(op: ModuleType) -> None:
    """Let the events of two tenants have the same id."""
    op.execute(
        "alter table inbox drop constraint inbox_pkey, add constraint inbox_pkey primary key (tenant_id, event_id)"
    )


def create_tenant_standings(op: ModuleType) -> None:
    """The kit's table of stopped tenants, which the relay's role reads across tenants. Never edit it: it is history."""
    owner = op.get_bind().execute(text("select current_user")).scalar_one()
    relay = f"{owner.removesuffix('_owner')}_relay"
    op.execute(
        """
        create table tenant_standings (
          tenant_id uuid not null, number integer not null, is_stopped boolean not null,
          constraint tenant_standings_pkey primary key (tenant_id))
        """
    )
    enable_tenancy(op, "tenant_standings")
    op.execute(f"create policy relay_works_across_tenants on tenant_standings for select to {relay} using (true)")
    op.execute(f"grant select on tenant_standings to {relay}")


def create_tenant_limits(op: ModuleType) -> None:
    """The kit's table of the limits of tenants' plans. Never edit it: it is history."""
    op.execute(
        """
        create table tenant_limits (
          tenant_id uuid not null, number integer not null, users integer, employees integer,
          constraint tenant_limits_pkey primary key (tenant_id))
        """
    )
    enable_tenancy(op, "tenant_limits")


def create_entity(op: ModuleType, table: str, *own: SchemaItem) -> None:
    """Create the table of an `Entity` with its columns, keys and row-level security. Never edit it: it is history."""
    op.create_table(
        table,
        Column("tenant_id", Uuid(), nullable=False),
        Column("id", Uuid(), server_default=text("uuidv7()"), nullable=False),
        Column("created_at", DateTime(timezone=True), server_default=text("now()"), nullable=False),
        Column("updated_at", DateTime(timezone=True), server_default=text("now()"), nullable=False),
        Column("version", Integer(), nullable=False),
        PrimaryKeyConstraint("id", name=f"pk_{table}"),
        UniqueConstraint("tenant_id", "id", name=f"uq_{table}_tenant_id_id"),
        *own,
    )
    enable_tenancy(op, table)


def enable_tenancy(op: ModuleType, table: str) -> None:
    """Show only the current tenant's rows of a table with a `tenant_id`, to its owner too."""
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(f"create policy tenant_only on {table} using (tenant_id = current_tenant())")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m libs.service_kit.migrations", description=__doc__)
    parser.add_argument(
        "action", choices=["upgrade", "check", "revision"], help="check: do models and migrations agree?"
    )
    parser.add_argument("services", nargs="+", metavar="SERVICE")
    parser.add_argument("-m", "--message", default="", help="what a new revision does")
    given = parser.parse_args(arguments)
    template = os.environ.get("MIGRATE_URL_TEMPLATE", "")
    if "{service}" not in template:
        raise SystemExit("MIGRATE_URL_TEMPLATE must be the owner's database URL with {service} in it")
    from alembic import command

    actions: dict[str, Callable[[str], Callable[[Any], object]]] = {
        "upgrade": _upgrade,
        "check": lambda _: command.check,
        "revision": lambda service: (
            lambda config: command.revision(
                config, given.message, autogenerate=True, rev_id=f"{int(newest(service)) + 1:04}"
            )
        ),
    }
    for service in given.services:
        asyncio.run(run(service, template.format(service=service), actions[given.action](service)))
        print(f"{given.action} {service}: done", flush=True)


if __name__ == "__main__":
    main()
