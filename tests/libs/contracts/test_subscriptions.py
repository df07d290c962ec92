"""Who hears what: every event is heard by the audit trail, and the saga by all who take part in it."""

from uuid import uuid4

import pytest

from libs.contracts import EVENTS, SUBSCRIPTIONS, is_own, owners, subscribers
from libs.contracts.permissions import PLATFORM_PERMISSIONS, TENANT_PERMISSIONS
from libs.contracts.provisioning import TenantPreparationFailed, TenantPrepared
from libs.contracts.tenant import TenantClosed, TenantCreated
from libs.services import PARTICIPANTS, PORTS, SERVICES


def test_every_subscribed_type_exists_and_stands_once():
    assert SUBSCRIPTIONS.keys() == PORTS.keys()
    for types in SUBSCRIPTIONS.values():
        assert set(types) <= set(EVENTS)
        assert len(set(types)) == len(types)


def test_the_audit_trail_hears_everything():
    assert all("system" in subscribers(event_type) for event_type in EVENTS)


def test_every_participant_of_the_saga_hears_its_begin_and_its_end():
    for event in (TenantCreated, TenantClosed):
        assert set(PARTICIPANTS) <= set(subscribers(event.type))


def test_the_tenant_service_hears_the_answers():
    for event in (TenantPrepared, TenantPreparationFailed):
        assert "tenant" in subscribers(event.type)


@pytest.mark.parametrize("event_type", EVENTS)
def test_every_type_belongs_to_services_that_exist(event_type):
    assert owners(event_type)
    assert set(owners(event_type)) <= {service.name for service in SERVICES}


def test_an_event_is_its_owners_and_an_answer_of_the_saga_its_participants():
    closed = TenantClosed(tenant_id=uuid4(), reason="it left")
    sources = [service.full_name for service in SERVICES]
    assert [source for source in [*sources, "tenant", "x-service", ""] if is_own(closed, source)] == ["tenant-service"]
    for name in PARTICIPANTS:
        prepared = TenantPrepared(tenant_id=uuid4(), service=name)
        assert [source for source in sources if is_own(prepared, source)] == [f"{name}-service"]
    assert not [source for source in sources if is_own(TenantPrepared(tenant_id=uuid4(), service="tenant"), source)]
    assert [source for source in [*sources, "tenant", "x-service", ""] if is_own(None, source)] == sources


def test_an_unknown_type_is_heard_by_nobody():
    assert subscribers("weather.rained.v1") == []


def test_a_permission_is_a_tenants_or_the_platforms():
    assert not set(TENANT_PERMISSIONS) & set(PLATFORM_PERMISSIONS)
    assert all(name.count(":") == 1 and " " not in name for name in TENANT_PERMISSIONS | PLATFORM_PERMISSIONS)
