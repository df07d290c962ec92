"""A tenant leaves: suspended, exported by every service, closed for good, and refused everywhere."""

import json

from libs.contracts.services import PARTICIPANTS
from libs.journey import story, tenants
from tests.fixtures.waiting import eventually


def test_a_tenant_is_closed_after_its_export_and_for_good(open_tenant, platform):
    leaving = open_tenant(4)
    admin, tenant_id = leaving.admin, leaving.tenant_id
    tenants.suspend(platform, tenant_id, "It has given notice")
    tenants.close(platform, tenant_id, "It has left", expect=409)
    for service, path in story.LISTS.items():
        tenants.wait_until_answered(admin, service, path, 403)
    exported = {service: tenants.export(platform, service, tenant_id)[0] for service in PARTICIPANTS}
    rows = [json.loads(line) for lines in exported.values() for line in lines]
    assert {row["row"]["id" if row["table"] == "tenants" else "tenant_id"] for row in rows} == {tenant_id}
    assert {"tenants", "users", "audit_entries", "expenditures", "transfers", "employees"} <= {
        row["table"] for row in rows
    }

    def is_exported() -> bool:
        tenant = platform.get("tenant", f"/api/v1/tenants/{tenant_id}").body
        return all(step["exported_at"] for step in tenant["provisioning"])

    eventually(is_exported, 20, "the tenant service has not heard of every export")
    assert tenants.close(platform, tenant_id, "It has left").body["status"] == "closed"
    platform.call("tenant", "POST", f"/api/v1/tenants/{tenant_id}/resume", if_match="*", expect=409)
    for service, path in story.LISTS.items():
        admin.get(service, path, expect=403)
