"""Who hears which events: the one table that HTTP delivery and the broker's bindings are made from."""

from libs.contracts.events import EVENTS
from libs.contracts.provisioning import TenantPreparationFailed, TenantPrepared
from libs.contracts.tenant import TenantActivated, TenantClosed, TenantCreated

SUBSCRIPTIONS: dict[str, tuple[str, ...]] = {
    "auth": (TenantCreated.type, TenantActivated.type, TenantClosed.type),
    "tenant": (TenantPrepared.type, TenantPreparationFailed.type),
    "personnel": (TenantCreated.type, TenantClosed.type),
    "budget": (TenantCreated.type, TenantClosed.type),
    "system": tuple(EVENTS),
}


def subscribers(event_type: str) -> list[str]:
    """The short names of the services that hear this type of event."""
    return [service for service, types in SUBSCRIPTIONS.items() if event_type in types]
