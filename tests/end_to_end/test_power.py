"""Nobody has more power than they should: not with a token of before, and not by two accounts of their making."""

import secrets
from dataclasses import replace

from libs.journey import steps, tenants
from libs.journey.client import Actor
from libs.journey.people import Person

NEW = Person("Second", "", "four purple otters", "Administrator", "finance")


def second(name: str) -> Person:
    return replace(NEW, email=f"{name}-{secrets.token_hex(4)}@example.com")


def test_a_platform_administrator_who_was_switched_off_neither_suspends_nor_exports_a_tenant(api, platform, tenant):
    person = second("platform")
    made = steps.create_user(platform, person, "platform administrator")
    former = steps.log_in(api, "platform", person)
    tenants.change_plan(former, tenant.tenant_id, "unlimited")
    path = f"/api/v1/users/{made.body['id']}"
    platform.call("auth", "PATCH", path, json={"is_active": False}, if_match="*", expect=200)
    for verb, wanted in (("plan", {"plan": "small"}), ("suspend", {"reason": "x"}), ("close", {"reason": "x"})):
        path = f"/api/v1/tenants/{tenant.tenant_id}/{verb}"
        refused = former.call("tenant", "POST", path, json=wanted, if_match="*", expect=403)
        assert refused.body["missing"] == ["tenants:write"]
    for service in ("auth", "budget"):
        former.get(service, f"/api/v1/tenants/{tenant.tenant_id}/export", expect=403)
    assert platform.get("tenant", f"/api/v1/tenants/{tenant.tenant_id}").body["status"] == "active"


def test_an_administrator_approves_nothing_by_two_accounts_with_the_passwords_that_they_gave_out(api, tenant):
    admin, department = tenant.admin, tenant.departments["finance"]
    puppets: list[Actor] = []
    for role in ("member", "manager"):
        person = second(role)
        user_id = steps.create_user(admin, person, role).body["id"]
        steps.hire(admin, f"P-{secrets.token_hex(3)}", person, department, user_id)
        puppets.append(steps.log_in(api, tenant.company.code, person))
    wish = steps.request_expenditure(puppets[0], next(iter(tenant.allocations.values())), "1.00", "Pencils")
    refused = steps.approve(puppets[1], wish, expect=403)
    assert refused.problem == "not-independent"
