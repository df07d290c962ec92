"""No tenant can read or change anything of another one through the API. The OpenAPI documents give the requests."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from libs.journey import steps
from libs.journey.client import Actor
from libs.journey.story import Tenant
from libs.services import PORTS
from tests.end_to_end.openapi import Request, make_request, operations
from tests.end_to_end.stack import Stack

REFUSED = {403, 404, 422}

# The values of the intruder's requests; None leaves a field out. Names that end with `_id` are added below: they get
# the victim's own ids, read from its lists.
VALUES: dict[str, Any] = {
    "code": "an-intruders-code",
    "name": "An intruder's name",
    "number": "X1",
    "title": "Intruder",
    "email": "intruder@elsewhere.example",
    "password": "seven-purple-otters-4711",
    "current_password": "not-this-one-at-all",
    "new_password": "seven-purple-otters-4712",
    "token": "no-token-at-all",
    "amount": "1.00",
    "purpose": "Curiosity",
    "reason": "Curiosity",
    "starts_on": "2031-01-01",
    "ends_on": "2031-12-31",
    "is_active": False,
    "without_export": True,
    "plan": "small",
    "setting_name": "no-such-setting",
    "value": "EUR",
    "permissions": ["budget:read"],
    "refresh_token": "no-token-at-all",
    "client_secret": "no-secret-at-all",
    "client_id": "budget-service",
    "if-match": "*",
    "idempotency-key": None,
    "cursor": None,
    "limit": 200,
    "status": None,
    "type": None,
    "entity_type": None,
    "from": None,
    "to": None,
    "on": None,
}


@pytest.fixture(scope="module")
def documents(stack: Stack) -> dict[str, dict[str, Any]]:
    """The five OpenAPI documents."""
    return {service: httpx.get(f"{url}/openapi.json").json() for service, url in stack.urls.items()}


@pytest.fixture(scope="module")
def values(tenant: Tenant, documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`VALUES` and the victim's own ids, by the names that the API gives them."""
    things = everything(tenant.admin, documents)
    first = {path: items[0] for path, items in things.items() if items}
    role = tenant.admin.create(
        "auth", "/api/v1/roles", {"name": f"Own role {secrets.token_hex(3)}", "permissions": ["budget:read"]}
    )
    expenditure = steps.request_expenditure(tenant.member, next(iter(tenant.allocations.values())), "1.00", "Pencils")
    # The audit trail must not change either, so it has to be complete first.
    steps.wait_for_audit(tenant.admin, [*tenant.traces, role.trace_id, expenditure.trace_id])
    audit = first["/api/v1/audit-entries"]
    return VALUES | {
        "tenant": tenant.company.code,
        "tenant_id": tenant.tenant_id,
        "user_id": first["/api/v1/users"]["id"],
        "roles": [role.body["name"]],
        "role_id": role.body["id"],
        "department_id": first["/api/v1/departments"]["id"],
        "parent_id": first["/api/v1/departments"]["id"],
        "employee_id": first["/api/v1/employees"]["id"],
        "fiscal_year_id": first["/api/v1/fiscal-years"]["id"],
        "account_id": first["/api/v1/accounts"]["id"],
        "allocation_id": first["/api/v1/allocations"]["id"],
        "code_group_id": first["/api/v1/code-groups"]["id"],
        "code_id": first["/api/v1/codes"]["id"],
        "from_allocation_id": first["/api/v1/transfers"]["from_allocation_id"],
        "to_allocation_id": first["/api/v1/transfers"]["to_allocation_id"],
        "transfer_id": first["/api/v1/transfers"]["id"],
        "expenditure_id": expenditure.body["id"],
        "entry_id": audit["id"],
        "entity_id": audit["entity_id"],
        "actor_id": first["/api/v1/users"]["id"],
        "trace_id": audit["trace_id"],
    }


def test_no_operation_tells_or_changes_anything_of_another_tenant(tenant, other, documents, values):
    before = everything(tenant.admin, documents)
    assert sum(map(len, before.values())) > 40
    marks = marks_of(before, tenant)
    asked = 0
    for service, document in documents.items():
        for method, path, operation in operations(document):
            request = make_request(service, document, method, path, operation, values)
            answer = send(other.admin, request)
            names_a_thing = (
                any(name.endswith("_id") for name in request.used - {"client_id"}) or "roles" in request.used
            )
            # A list that is filtered by another tenant's ids is empty; every other request is refused.
            if (names_a_thing and method != "GET") or "{" in path:
                assert answer.status_code in REFUSED, (service, method, path, answer.status_code, answer.text)
            assert answer.status_code < 500, (service, method, path, answer.text)
            if method == "GET" and "{" not in path and names_a_thing and answer.status_code == 200:
                assert answer.json().get("items") in ([], None), (service, path, answer.text)
            sent = json.dumps([request.path, request.params, request.json])
            seen = [mark for mark in marks if mark in answer.text and mark not in sent]
            assert seen == [], (service, method, path, seen)
            asked += 1
    assert asked > 30
    assert everything(tenant.admin, documents) == before


def test_lists_hold_nothing_of_another_tenant(tenant, other, documents):
    mine, theirs = everything(tenant.admin, documents), everything(other.admin, documents)
    for path, items in mine.items():
        assert items, path
        assert {each["id"] for each in items}.isdisjoint(each["id"] for each in theirs[path]), path
    # Built-in things have the same names in every tenant; the marks are what differs.
    text = json.dumps(theirs)
    assert [mark for mark in marks_of(mine, tenant) if mark in text] == []


def everything(actor: Actor, documents: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Everything that a tenant's administrator can list, by path: every GET that answers with a page."""
    found: dict[str, list[dict[str, Any]]] = {}
    for service, document in documents.items():
        for method, path, operation in operations(document):
            # Only the platform's administrators list tenants.
            if service != "tenant" and method == "GET" and "{" not in path and "cursor" in names(operation):
                found[path] = list(steps.pages(actor, service, path))
    return found


def names(operation: Mapping[str, Any]) -> set[str]:
    """The names of an operation's parameters."""
    return {parameter["name"] for parameter in operation.get("parameters", ())}


def marks_of(things: dict[str, list[dict[str, Any]]], tenant: Tenant) -> set[str]:
    """The strings that only this tenant has: its ids, its code and its people's addresses."""
    ids = {each["id"] for items in things.values() for each in items}
    people = {each["email"] for items in things.values() for each in items if "email" in each}
    return ids | people | {tenant.tenant_id, tenant.company.code}


def send(actor: Actor, request: Request) -> httpx.Response:
    """Send a request with this person's token, whatever the answer."""
    assert request.service in PORTS
    headers = request.headers | {"authorization": f"Bearer {actor.token}"}
    url = actor.api.urls[request.service] + request.path
    return httpx.request(request.method, url, params=request.params, json=request.json, headers=headers)
