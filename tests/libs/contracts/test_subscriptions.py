"""Who hears what: every event is heard by the audit trail, and the saga by all who take part in it."""

from libs.contracts import EVENTS, SUBSCRIPTIONS, subscribers
from libs.contracts.permissions import PLATFORM_PERMISSIONS, TENANT_PERMISSIONS
from libs.contracts.provisioning import TenantPreparationFailed, TenantPrepared
from libs.contracts.services import PARTICIPANTS
from libs.contracts.tenant import TenantClosed, TenantCreated


def test_every_subscribed_type_exists_and_stands_once():
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


def test_an_unknown_type_is_heard_by_nobody():
    assert subscribers("weather.rained.v1") == []


def test_a_permission_is_a_tenants_or_the_platforms():
    assert not set(TENANT_PERMISSIONS) & set(PLATFORM_PERMISSIONS)
    assert all(name.count(":") == 1 and " " not in name for name in TENANT_PERMISSIONS | PLATFORM_PERMISSIONS)
