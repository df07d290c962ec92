"""The steps of a tenant's later life: its plan, suspension, export and end."""

import json

from libs.journey.client import Actor, Answer, UnexpectedAnswer
from libs.journey.steps import HEARD_WITHIN_SECONDS, until


def change_plan(platform: Actor, tenant_id: str, plan: str) -> Answer:
    """The platform's administrator gives a tenant another plan."""
    path = f"/api/v1/tenants/{tenant_id}/plan"
    return platform.call("tenant", "POST", path, json={"plan": plan}, if_match="*", expect=200)


def suspend(platform: Actor, tenant_id: str, reason: str) -> Answer:
    """The platform's administrator suspends a tenant."""
    path = f"/api/v1/tenants/{tenant_id}/suspend"
    return platform.call("tenant", "POST", path, json={"reason": reason}, if_match="*", expect=200)


def resume(platform: Actor, tenant_id: str) -> Answer:
    """The platform's administrator lets a suspended tenant go on."""
    return platform.call("tenant", "POST", f"/api/v1/tenants/{tenant_id}/resume", if_match="*", expect=200)


def export(reader: Actor, service: str, tenant_id: str) -> tuple[list[str], Answer]:
    """Everything that a service holds of a tenant, as JSON Lines, and the last answer."""
    lines: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = reader.get(service, f"/api/v1/tenants/{tenant_id}/export", params=cursor)
        # A single line is a JSON document, which the client has parsed.
        if answer.body is not None:
            lines += answer.body.splitlines() if isinstance(answer.body, str) else [json.dumps(answer.body)]
        if "next-cursor" not in answer.headers:
            return lines, answer
        cursor = {"cursor": answer.headers["next-cursor"]}


def close(platform: Actor, tenant_id: str, reason: str, expect: int = 200) -> Answer:
    """The platform's administrator closes a tenant for good."""
    path = f"/api/v1/tenants/{tenant_id}/close"
    return platform.call("tenant", "POST", path, json={"reason": reason}, if_match="*", expect=expect)


def wait_until_exported(platform: Actor, tenant_id: str) -> Answer:
    """Wait until the tenant service has heard that every service has exported a suspended tenant."""

    def exported() -> Answer | None:
        answer = platform.get("tenant", f"/api/v1/tenants/{tenant_id}")
        return answer if all(step["exported_at"] for step in answer.body["provisioning"]) else None

    return until("tenant", exported, HEARD_WITHIN_SECONDS, "the tenant is not exported by every service")


def wait_until_answered(person: Actor, service: str, path: str, status: int) -> Answer:
    """Ask until a service answers with this status: 403 once it has heard of a suspension, 200 of its end."""

    def asked() -> Answer | None:
        try:
            return person.get(service, path, expect=status)
        except UnexpectedAnswer:
            return None

    return until(service, asked, HEARD_WITHIN_SECONDS, f"{service} does not answer {status}")
