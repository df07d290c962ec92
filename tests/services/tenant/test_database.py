"""The tables of the tenant service keep to the platform, whatever a query forgets."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.contracts import PLATFORM_TENANT_ID
from libs.contracts.tenant import TenantActivated
from libs.service_kit.events.outbox import publish
from services.tenant.database import bound_to


@pytest.mark.parametrize("table", ["tenants", "provisioning_steps"])
async def test_a_tenant_sees_no_row_not_even_its_own(make_tenant, tenant_session, sessions, table):
    tenant = await make_tenant()
    count = text(f"select count(*) from {table}")
    async with tenant_session(UUID(tenant["id"])) as session:
        assert await session.scalar(count) == 0
    async with sessions() as session:
        assert await session.scalar(count) == 0
    async with tenant_session(PLATFORM_TENANT_ID) as session:
        assert await session.scalar(count) > 0


async def test_a_tenant_can_change_nothing(make_tenant, read_tenant, tenant_session):
    tenant = await make_tenant()
    async with tenant_session(UUID(tenant["id"])) as session:
        changed = await session.execute(text("update tenants set status = 'active'"))
        assert changed.rowcount == 0
    assert await read_tenant(tenant["id"]) == tenant
    with pytest.raises(DBAPIError, match="row-level security"):
        async with tenant_session(uuid4()) as session:
            await session.execute(
                text(
                    "insert into tenants (tenant_id, code, name, status, version) values (:owner, 'x', 'x', 'active', 1)"
                ),
                {"owner": PLATFORM_TENANT_ID},
            )


async def test_a_session_speaks_for_another_tenant_only_inside_the_block(tenant_session, published):
    first, second = uuid4(), uuid4()
    current = text("select current_tenant()")
    async with tenant_session(first) as session:
        publish(session, TenantActivated(tenant_id=first))  # still unwritten when the tenant changes
        async with bound_to(session, second):
            assert await session.scalar(current) == second
            publish(session, TenantActivated(tenant_id=second))
        assert await session.scalar(current) == first
    for tenant_id in (first, second):
        assert await published(TenantActivated, tenant_id=tenant_id) == [TenantActivated(tenant_id=tenant_id)]
