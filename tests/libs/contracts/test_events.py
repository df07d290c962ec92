"""Events are facts with a stable name and shape, in an envelope that the CloudEvents specification knows."""

import json
import re
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from libs.contracts import EVENTS, CloudEvent, Event, read_event
from libs.contracts.budget import AllocationMade
from libs.contracts.tenant import TenantCreated

ENVELOPE = {
    "id": str(uuid4()),
    "source": "tenant-service",
    "type": "tenant.created.v1",
    "subject": "tenant/1",
    "time": "2026-03-01T09:00:00Z",
    "tenantid": str(uuid4()),
    "data": {"tenant_id": str(uuid4()), "code": "acme", "name": "Acme"},
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_every_event_is_well_named(event):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*\.v[1-9]\d*", event.type)
    assert event.model_fields[f"{event.type.split('.')[0]}_id"].annotation is UUID
    assert event.__doc__


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_no_event_has_a_field_for_a_secret(event):
    assert not [name for name in event.model_fields if re.search("password|secret|token|hash", name)]


def test_the_subject_is_the_entity():
    tenant_id = uuid4()
    assert TenantCreated(tenant_id=tenant_id, code="acme", name="Acme").subject == f"tenant/{tenant_id}"


def test_a_type_belongs_to_one_class():
    with pytest.raises(TypeError, match="is taken"):

        class Again(Event):
            type: ClassVar[str] = TenantCreated.type
            tenant_id: UUID

    assert EVENTS[TenantCreated.type] is TenantCreated


def test_an_event_without_its_entitys_id_is_none():
    with pytest.raises(TypeError, match="no field for its entity's id"):

        class Rained(Event):
            type: ClassVar[str] = "weather.rained.v1"
            litres: int

    assert "weather.rained.v1" not in EVENTS


def test_money_in_an_event_stays_exact():
    made = AllocationMade.model_validate(
        {name: str(uuid4()) for name in ("allocation_id", "fiscal_year_id", "account_id")} | {"amount": "0.10"}
    )
    written = made.model_dump(mode="json")
    assert written["amount"] == "0.10"
    assert AllocationMade.model_validate_json(json.dumps(written)) == made


def test_an_envelope_is_read_as_its_event():
    event = read_event(CloudEvent.model_validate(ENVELOPE))
    assert event == TenantCreated.model_validate(ENVELOPE["data"])


def test_an_event_of_a_later_time_is_no_error():
    assert read_event(CloudEvent.model_validate(ENVELOPE | {"type": "tenant.moved.v3"})) is None
    later = CloudEvent.model_validate(ENVELOPE | {"dataschema": "x", "data": ENVELOPE["data"] | {"plan": "gold"}})  # type: ignore[operator]
    assert read_event(later) == TenantCreated.model_validate(ENVELOPE["data"])


def test_data_of_another_shape_is_an_error():
    with pytest.raises(ValidationError):
        read_event(CloudEvent.model_validate(ENVELOPE | {"data": {}}))


@pytest.mark.parametrize(
    "changed", [{"specversion": "0.3"}, {"id": "1"}, {"time": "now"}, {"tenantid": None}, {"data": "text"}]
)
def test_an_envelope_of_another_form_is_refused(changed):
    with pytest.raises(ValidationError):
        CloudEvent.model_validate(ENVELOPE | changed)


def test_the_attributes_are_named_as_the_specification_demands():
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in CloudEvent.model_fields)
    envelope = CloudEvent.model_validate(ENVELOPE)
    written = envelope.model_dump(mode="json", exclude_none=True)
    assert set(written) == {*ENVELOPE, "specversion", "datacontenttype"}
    assert (written["specversion"], written["datacontenttype"]) == ("1.0", "application/json")
    assert envelope.time == datetime(2026, 3, 1, 9, tzinfo=UTC)
