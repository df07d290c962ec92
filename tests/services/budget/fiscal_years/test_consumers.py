"""Budget's part in a tenant's life: it is always ready, and leaves nothing behind."""

from libs.contracts.provisioning import TenantPrepared
from libs.contracts.tenant import TenantClosed, TenantCreated
from services.budget.fiscal_years.consumers import on_tenant_closed, on_tenant_created


async def test_budget_is_prepared_for_every_tenant(tenant_session, tenant_id, published):
    async with tenant_session() as session:
        await on_tenant_created(session, TenantCreated(tenant_id=tenant_id, code="acme", name="Acme Ltd"))
    assert await published(TenantPrepared) == [TenantPrepared(tenant_id=tenant_id, service="budget")]


async def test_a_closed_tenant_keeps_what_it_has_entered(client, tenant_session, tenant_id, make_fiscal_year):
    year = await make_fiscal_year()
    async with tenant_session() as session:
        await on_tenant_closed(session, TenantClosed(tenant_id=tenant_id, reason="has left"))
    assert (await client.get("/api/v1/fiscal-years")).json()["items"] == [year]
