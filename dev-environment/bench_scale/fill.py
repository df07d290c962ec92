"""Rows for every list of the services, as years of use would leave them: of many tenants, and of one that has most.

The rows of all tenants lie mixed in the tables, the oldest first, so a page of one tenant is spread over the disk.
"""

from typing import Any
from uuid import UUID

# `growing` has each tenant and how many rows it gets; `rows` has one line for each of these, with its number `n` from 1.
# An id is made of the tenant, the kind of row and the number, so that a row can name another one.
_ROWS = """
create temp table growing as
    select md5('tenant' || number)::uuid as tenant_id, {rows} as rows from generate_series(1, {tenants}) as number
    union all select '{largest}', {most};
create temp view rows as
    select tenant_id, n, timestamptz '2026-01-01' + n * interval '1 second' as at
    from growing, generate_series(1, rows) as n order by n, tenant_id;
create function pg_temp.id(tenant uuid, kind text, n bigint) returns uuid immutable
    language sql return md5(tenant || kind || n)::uuid;
"""

_ENTITY = "(id, tenant_id, created_at, version, "

FILL = {
    "auth": f"""
        insert into roles {_ENTITY} name, permissions, is_builtin)
            select pg_temp.id(tenant_id, 'role', n), tenant_id, at, 1, 'role ' || n, '{{budget:read}}', false from rows;
        insert into users {_ENTITY} email, name, password_hash, is_active, has_bootstrap_password)
            select pg_temp.id(tenant_id, 'user', n), tenant_id, at, 1, 'user' || n || '@example.com', 'A User', '-', true, false
            from rows;
        insert into user_roles (tenant_id, user_id, role_id)
            select tenant_id, pg_temp.id(tenant_id, 'user', n), pg_temp.id(tenant_id, 'role', n % 3 + 1) from rows;
    """,
    # Every tenant is a row of the platform.
    "tenant": f"""
        insert into tenants {_ENTITY} code, name, status)
            select pg_temp.id(tenant_id, 'tenant', n), tenant_id, at, 1, 'tenant-' || n, 'A Tenant', 'active' from rows;
        insert into provisioning_steps (tenant_id, provisioned_id, service, status)
            select tenant_id, pg_temp.id(tenant_id, 'tenant', n), service, 'prepared'
            from rows, unnest(array['auth', 'system', 'budget', 'personnel']) as service;
    """,
    "codes": f"""
        insert into code_groups {_ENTITY} code, name)
            select pg_temp.id(tenant_id, 'group', n), tenant_id, at, 1, 'group-' || n, 'A Group' from rows;
        insert into codes {_ENTITY} code_group_id, code, name, is_active)
            select pg_temp.id(tenant_id, 'code', n), tenant_id, at, 1, pg_temp.id(tenant_id, 'group', n % 10 + 1),
                'code-' || n, 'A Code', true from rows;
    """,
    "audit": """
        insert into audit_entries (tenant_id, id, type, source, entity_type, entity_id, actor_id, occurred_at, trace_id, data)
            select tenant_id, pg_temp.id(tenant_id, 'event', n), 'budget.kind' || n % 20, 'budget-service', 'kind' || n % 10,
                pg_temp.id(tenant_id, 'expenditure', n / 3)::text, pg_temp.id(tenant_id, 'user', n % 50), at,
                md5('trace' || n / 5), '{"amount": "12.50"}' from rows;
    """,
    # A tenant has at most a thousand fiscal years; every second expenditure is of its first allocation; transfers of one are few.
    "budget": f"""
        insert into fiscal_years {_ENTITY} name, starts_on, ends_on)
            select pg_temp.id(tenant_id, 'year', n), tenant_id, at, 1, 'year ' || n, date '2000-01-01' + n::int, date '2000-01-01' + n::int
            from rows where n <= 1000;
        insert into accounts {_ENTITY} code, name)
            select pg_temp.id(tenant_id, 'account', n), tenant_id, at, 1, 'account-' || n, 'An Account' from rows;
        insert into allocations {_ENTITY} fiscal_year_id, account_id, amount, committed)
            select pg_temp.id(tenant_id, 'allocation', n), tenant_id, at, 1, pg_temp.id(tenant_id, 'year', n % 10 + 1),
                pg_temp.id(tenant_id, 'account', n), 1000000, 0 from rows;
        insert into expenditures {_ENTITY} allocation_id, amount, purpose, status, requester_id, employee_id)
            select pg_temp.id(tenant_id, 'expenditure', n), tenant_id, at, 1,
                pg_temp.id(tenant_id, 'allocation', case n % 2 when 0 then 1 else n % 10 + 1 end), 12.50, 'Paper',
                case when n = 1 then 'rejected' when n % 10 = 0 then 'requested' else 'approved' end,
                pg_temp.id(tenant_id, 'user', n % 50), pg_temp.id(tenant_id, 'employee', n % 50) from rows;
        insert into transfers {_ENTITY} from_allocation_id, to_allocation_id, amount, reason, made_by)
            select pg_temp.id(tenant_id, 'transfer', n), tenant_id, at, 1, pg_temp.id(tenant_id, 'allocation', n / 20 + 1),
                pg_temp.id(tenant_id, 'allocation', n / 20 + 2), 1, 'Less travel', pg_temp.id(tenant_id, 'user', n % 50) from rows;
    """,
    "personnel": f"""
        insert into departments {_ENTITY} code, name)
            select pg_temp.id(tenant_id, 'department', n), tenant_id, at, 1, 'department-' || n, 'A Department' from rows;
        insert into employees {_ENTITY} number, name, email, user_id)
            select pg_temp.id(tenant_id, 'employee', n), tenant_id, at, 1, 'e-' || n, 'Jo Kim', 'jo@example.com',
                pg_temp.id(tenant_id, 'user', n) from rows;
        insert into appointments {_ENTITY} employee_id, department_id, title, starts_on)
            select pg_temp.id(tenant_id, 'appointment', n), tenant_id, at, 1, pg_temp.id(tenant_id, 'employee', n),
                pg_temp.id(tenant_id, 'department', n % 10 + 1), 'Clerk', date '2020-01-01' from rows;
    """,
}
"""The statements for each kind of rows."""
KINDS = {"system": ("codes", "audit")}
"""The kinds of a service's rows, where there are several."""


def kinds(service: str) -> tuple[str, ...]:
    """The kinds of rows that the database of a service has."""
    return KINDS.get(service, (service,))


async def fill(connection: Any, kind: str, *, tenants: int, rows: int, largest: UUID, most: int) -> None:
    """Add `rows` rows for each of `tenants` tenants, and `most` for the tenant `largest`, to each table of a kind.

    There must be at least 20 rows, since some name others.
    `connection` is asyncpg's, of the superuser, whom row-level security does not hold.
    """
    async with connection.transaction():
        await connection.execute(_ROWS.format(tenants=tenants, rows=rows, largest=largest, most=most))
        await connection.execute(FILL[kind])
        await connection.execute("drop view rows; drop table growing; drop function pg_temp.id")
    await connection.execute("vacuum analyze")
