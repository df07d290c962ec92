"""One trace holds the whole story of a request: the services, the SQL, the events and the log lines."""

from stack.services import SERVICES
from stack.watch.traces import Span

from libs.journey import steps
from libs.services import PARTICIPANTS
from tests.fixtures.waiting import eventually

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
FIVE = {service.name for service in SERVICES}
SECONDS = 30


def test_every_step_is_in_the_audit_trail(made):
    trail = steps.wait_for_audit(made.tenant.admin, made.tenant.traces)
    prepared = {entry["data"]["service"] for entry in trail if entry["type"] == "tenant.prepared.v1"}
    assert prepared == set(PARTICIPANTS)


def test_a_new_tenant_is_one_trace_through_five_services_and_the_events_between_them(read_spans, made, transport):
    def complete() -> list[Span]:
        spans = read_spans(made.created)
        heard = {span.service for span in spans if span.kind == CONSUMER}
        activated = [span for span in spans if span.kind == CONSUMER and of(span, "tenant.activated.v1")]
        return spans if heard == FIVE and len(activated) == 2 and is_a_tree(spans) else []

    spans = eventually(complete, SECONDS, f"trace {made.created} is not complete")
    (request,) = [span for span in spans if span.kind == SERVER and span.name == "POST /api/v1/tenants"]
    assert request.service == "tenant-service"
    messages = [span for span in spans if span.kind in (PRODUCER, CONSUMER)]
    assert {span.attributes["messaging.system"] for span in messages} == {transport}
    sent = [span for span in messages if span.kind == PRODUCER and of(span, "tenant.created.v1")]
    heard = [span for span in messages if span.kind == CONSUMER and of(span, "tenant.created.v1")]
    assert {span.service for span in sent} == {"tenant-service"}
    assert {span.service for span in heard} == {f"{name}-service" for name in PARTICIPANTS}
    assert {span.parent_id for span in heard} <= {span.span_id for span in sent}
    statements = {span.service for span in spans if span.kind == CLIENT and "db.system.name" in span.attributes}
    assert {"tenant-service", *(f"{name}-service" for name in PARTICIPANTS if name != "budget")} <= statements


def test_an_approval_is_one_trace_through_budget_personnel_and_system(read_spans, made):
    trace_id = made.approved.trace_id
    services = {"budget-service", "personnel-service", "system-service"}

    def complete() -> list[Span]:
        spans = read_spans(trace_id)
        return spans if services <= {span.service for span in spans} and is_a_tree(spans) else []

    spans = eventually(complete, SECONDS, f"trace {trace_id} is not complete")
    asked = {span.span_id for span in spans if span.kind == CLIENT and span.service == "budget-service"}
    answered = [span for span in spans if span.kind == SERVER and span.service == "personnel-service"]
    assert {span.name for span in answered} == {"GET /api/v1/employees/me", "GET /api/v1/employees/{employee_id}"}
    assert {span.parent_id for span in answered} <= asked
    (heard,) = [span for span in spans if span.kind == CONSUMER]
    assert heard.service == "system-service"
    assert heard.attributes["cloudevents.event_type"] == "expenditure.approved.v1"


def test_all_five_services_have_log_lines_of_the_trace(read_lines, made):
    def are_written() -> bool:
        return {line["service"] for line in read_lines(made.created)} == FIVE

    eventually(are_written, 90, f"some services have no log line of trace {made.created}")


def of(span: Span, event_type: str) -> bool:
    """Whether a span belongs to an event of this type."""
    return span.attributes.get("cloudevents.event_type") == event_type


def is_a_tree(spans: list[Span]) -> bool:
    """Whether the parent of every span but the client's request is among them."""
    known = {span.span_id for span in spans}
    return [span.kind for span in spans if span.parent_id not in known] == [SERVER]
