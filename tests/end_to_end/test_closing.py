"""A tenant leaves: suspended, exported by every service, closed for good, and refused everywhere."""

import json

from libs.journey import story


def test_a_tenant_is_closed_after_its_export_and_for_good(open_tenant, platform):
    leaving = open_tenant(4)
    admin, tenant_id = leaving.admin, leaving.tenant_id
    exported = story.leave(platform, tenant_id, admin)
    rows = [json.loads(line) for lines in exported.values() for line in lines]
    assert {row["row"]["id" if row["table"] == "tenants" else "tenant_id"] for row in rows} == {tenant_id}
    assert {"tenants", "users", "audit_entries", "expenditures", "transfers", "employees"} <= {
        row["table"] for row in rows
    }
    assert platform.get("tenant", f"/api/v1/tenants/{tenant_id}").body["status"] == "closed"
    platform.call("tenant", "POST", f"/api/v1/tenants/{tenant_id}/resume", if_match="*", expect=409)
    for service, path in story.LISTS.items():
        admin.get(service, path, expect=403)
