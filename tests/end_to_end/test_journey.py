"""The story of a tenant that is created and spends money, as spans, log lines and metrics show it. Read this one first."""

import re
from collections.abc import Callable
from random import Random
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from libs.journey import appointments, steps, story
from libs.journey.__main__ import main
from libs.journey.client import UnexpectedAnswer
from libs.journey.people import company
from libs.services import PARTICIPANTS
from tests.end_to_end.stack import Stack
from tests.fixtures.waiting import eventually

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
SECONDS = 20.0


def test_every_step_of_the_story_is_in_the_audit_trail(tenant):
    trail = steps.wait_for_audit(tenant.admin, tenant.traces)
    assert len(tenant.traces) > 20
    types = {entry["type"] for entry in trail}
    assert {"tenant.created.v1", "tenant.activated.v1", "user.logged_in.v1", "expenditure.approved.v1"} <= types
    assert {entry["data"]["service"] for entry in trail if entry["type"] == "tenant.prepared.v1"} == set(PARTICIPANTS)


def test_one_trace_links_the_request_the_sql_the_event_and_the_work_of_five_services(own_stack, platform, api):
    created = steps.create_tenant(platform, company(3, "trace"))
    steps.wait_until_active(platform, created.body["id"])

    def is_complete(spans: list[dict[str, Any]]) -> bool:
        heard = [span for span in spans if span["kind"] == CONSUMER]
        activated = [span for span in heard if "tenant.activated.v1" in span["attributes"].values()]
        return len({span["service"] for span in heard}) == 5 and len(activated) == 2

    spans = tree(own_stack, created.trace_id, is_complete)
    assert {(span["service"], span["name"]) for span in spans if span["kind"] == SERVER} == {
        ("tenant-service", "POST /api/v1/tenants"),
        ("auth-service", "GET /api/v1/users/me/permissions"),
    }
    sent = [span for span in spans if span["kind"] == PRODUCER and "tenant.created.v1" in span["attributes"].values()]
    heard = [span for span in spans if span["kind"] == CONSUMER and "tenant.created.v1" in span["attributes"].values()]
    assert {span["service"] for span in heard} == {f"{name}-service" for name in PARTICIPANTS}
    assert {span["parentSpanId"] for span in heard} <= {span["spanId"] for span in sent}
    statements = {
        span["service"] for span in spans if span["kind"] == CLIENT and "db.system.name" in span["attributes"]
    }
    assert {"tenant-service", "auth-service", "personnel-service", "system-service"} <= statements
    assert_lines_carry(own_stack, created.trace_id, {f"{name}-service" for name in own_stack.urls})


def test_an_approval_is_one_trace_through_budget_personnel_and_system(own_stack, tenant):
    approved = story.spend(tenant, Random(1))

    services = {"budget-service", "personnel-service", "system-service"}
    spans = tree(own_stack, approved.trace_id, lambda spans: services <= {span["service"] for span in spans})
    own = [span for span in spans if span["name"] == "POST /api/v1/expenditures/{expenditure_id}/approve"]
    assert len(own) == 1
    asked = {span["spanId"] for span in spans if span["kind"] == CLIENT and span["service"] == "budget-service"}
    answered = [span for span in spans if span["kind"] == SERVER and span["service"] == "personnel-service"]
    assert {span["name"] for span in answered} == {"GET /api/v1/employees/me", "GET /api/v1/employees/{employee_id}"}
    assert {span["parentSpanId"] for span in answered} <= asked
    assert_lines_carry(own_stack, approved.trace_id, services)


def test_the_chart_of_a_day_shows_everybody_where_the_appointment_of_that_day_is(tenant):
    listed = steps.pages(tenant.admin, "personnel", "/api/v1/departments")
    names = {department["id"]: department["name"] for department in listed}
    terms = [
        (employee["id"], names[term["department_id"]], day)
        for employee in steps.pages(tenant.admin, "personnel", "/api/v1/employees")
        for term in employee["appointments"]
        for day in filter(None, (term["starts_on"], term["ends_on"]))
    ]
    assert len({(who, where) for who, where, _ in terms}) > len({who for who, _, _ in terms})
    for who, where, day in terms:
        assert appointments.find_in_chart(tenant.admin, who, day)[0] == where


def test_whoever_forgets_their_password_sets_another_and_goes_on(tenant):
    forgotten = tenant.company.member
    story.recover(tenant)
    with pytest.raises(UnexpectedAnswer, match="401"):
        steps.log_in(tenant.admin.api, tenant.company.code, forgotten)
    assert story.spend(tenant, Random(2)).body["status"] == "approved"
    types = {entry["type"] for entry in steps.wait_for_audit(tenant.admin, tenant.traces)}
    assert {"user.password_reset.v1", "user.password_changed.v1"} <= types


def test_the_demo_ends_well(own_stack, monkeypatch, capsys):
    urls = {f"SERVICES__{name.upper()}": url for name, url in own_stack.urls.items()}
    for name, given in {**own_stack.settings.values, **urls}.items():
        monkeypatch.setenv(name, given)
    assert main(["--tenants", "1", "--seed", "5"]) == 0, capsys.readouterr().err
    assert "closes it for good" in capsys.readouterr().out


def test_metrics_move_with_the_story(stack, tenant):
    moved = {
        "auth": [("auth_login_total", {"status": "success"}), ("auth_login_duration_count", {})],
        "tenant": [("tenants_provisioned_total", {"outcome": "active"})],
        "personnel": [(f"personnel_{each}_total", {}) for each in ("hires", "transfers", "departures", "appointments")],
        "budget": [("budget_expenditures_total", {"decision": "approved"})],
        "system": [("events_consumed_total", {"event_type": "expenditure.approved.v1"})],
    }
    for service, samples in moved.items():
        for name, labels in [*samples, ("http_requests_total", {}), ("process_cpu_seconds_total", {})]:
            assert value(stack, service, name, labels) > 0, (service, name)
    before = value(stack, "auth", "auth_login_total", {"status": "failure"})
    wrong = {"tenant": tenant.company.code, "email": tenant.company.admin.email, "password": "not-this-one-at-all"}
    tenant.admin.api.call("auth", "POST", "/api/v1/auth/login", json=wrong, expect=401)
    assert value(stack, "auth", "auth_login_total", {"status": "failure"}) == before + 1


def test_an_exemplar_leads_from_a_metric_to_its_trace(own_stack, tenant):
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    text = httpx.get(f"{own_stack.urls['auth']}/metrics", headers=accept).text
    line = next(each for each in text.splitlines() if each.startswith("http_request_duration_") and "trace_id=" in each)
    trace_id = re.search(r'trace_id="([0-9a-f]{32})"', line)[1]

    def is_written() -> bool:
        return any(span["service"] == "auth-service" for span in own_stack.spans(trace_id))

    eventually(is_written, SECONDS, "no span of auth in the exemplar's trace is in the files")


def tree(stack: Stack, trace_id: str, is_complete: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """The spans of a trace, once it is complete and every span but that of the client's request has its parent there."""

    def grown() -> list[dict[str, Any]]:
        spans = stack.spans(trace_id)
        known = {span["spanId"] for span in spans}
        roots = [span for span in spans if span.get("parentSpanId") not in known]
        return spans if len(roots) == 1 and roots[0]["kind"] == SERVER and is_complete(spans) else []

    return eventually(grown, SECONDS, f"trace {trace_id} is not one complete tree")


def assert_lines_carry(stack: Stack, trace_id: str, services: set[str]) -> None:
    """Wait until each of these services has a log line of this trace."""

    def are_written() -> bool:
        return services <= {line["service"] for line in stack.lines() if line.get("trace_id") == trace_id}

    eventually(are_written, SECONDS, f"some of {services} have no log line of trace {trace_id}")


def value(stack: Stack, service: str, name: str, labels: dict[str, str]) -> float:
    """The sum of a metric's samples that have these labels."""
    text = httpx.get(f"{stack.urls[service]}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())
