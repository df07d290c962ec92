"""A tenant's plan is changed by the platform, and told with its limits and in numbered changes."""

from uuid import UUID

from prometheus_client import REGISTRY

from libs.contracts.plans import PLANS
from libs.contracts.tenant import TenantPlanChanged

TENANTS = "/api/v1/tenants"


def changes() -> dict[str, float]:
    return {plan: REGISTRY.get_sample_value("tenants_plan_changes_total", {"plan": plan}) for plan in PLANS}


async def test_a_change_of_plan_is_told_with_its_limits(platform, make_tenant, published):
    before, tenant = changes(), await make_tenant()
    assert tenant["plan"] == "unlimited"
    path, headers = f"{TENANTS}/{tenant['id']}/plan", {"if-match": "*"}
    for plan in ("small", "small", "unlimited"):
        changed = await platform.post(path, json={"plan": plan}, headers=headers)
        assert (changed.status_code, changed.json()["plan"]) == (200, plan)
    events = await published(TenantPlanChanged, tenant_id=UUID(tenant["id"]))
    assert [(event.plan, event.number, (event.users, event.employees)) for event in events] == [
        ("small", 1, PLANS["small"]),
        ("unlimited", 2, PLANS["unlimited"]),
    ]
    assert changes() == before | {plan: before[plan] + 1 for plan in ("small", "unlimited")}


async def test_an_unknown_plan_an_old_version_and_a_tenants_own_people_are_refused(platform, make_client, make_tenant):
    path = f"{TENANTS}/{(await make_tenant())['id']}/plan"
    asked = (
        (platform, {"plan": "endless"}, "*", 422),
        (platform, {"plan": "small"}, '"9"', 412),
        (make_client("tenants:write"), {"plan": "small"}, "*", 403),
    )
    for who, wanted, if_match, status in asked:
        assert (await who.post(path, json=wanted, headers={"if-match": if_match})).status_code == status
