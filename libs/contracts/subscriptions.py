"""Who hears which events, and who may publish them."""

from libs.contracts.events import EVENTS, Event
from libs.contracts.provisioning import TenantExported, TenantPreparationFailed, TenantPrepared
from libs.contracts.tenant import (
    TenantActivated,
    TenantClosed,
    TenantCreated,
    TenantPlanChanged,
    TenantResumed,
    TenantSuspended,
)
from libs.services import PARTICIPANTS, SERVICES

# Heard by every service, since each refuses the people of a stopped tenant.
STOPPING = (TenantSuspended.type, TenantResumed.type, TenantClosed.type)

SUBSCRIPTIONS = {
    "auth": (TenantCreated.type, TenantActivated.type, TenantPlanChanged.type, *STOPPING),
    "tenant": (TenantPrepared.type, TenantPreparationFailed.type, TenantExported.type, *STOPPING),
    "system": tuple(EVENTS),
    "budget": (TenantCreated.type, *STOPPING),
    "personnel": (TenantCreated.type, TenantPlanChanged.type, *STOPPING),
}
"""The types of the events that are delivered to each service, by its short name."""


def subscribers(event_type: str) -> list[str]:
    """The short names of the services that hear this type of event."""
    return [name for name, heard in SUBSCRIPTIONS.items() if event_type in heard]


def owners(event_type: str) -> tuple[str, ...]:
    """The short names of the services that publish this type of event: the one of its module, or all of the saga's."""
    module = EVENTS[event_type].__module__.rpartition(".")[2]
    return PARTICIPANTS if module == "provisioning" else (module,)


def is_own(event: Event | None, source: str) -> bool:
    """Whether the event is one that its `source` publishes; in the saga, a service answers for itself.

    None is an event of a type that the receiver does not know yet, which may be any service's.
    """
    name = source.removesuffix("-service")
    if event is None:
        return source in {service.full_name for service in SERVICES}
    return source != name and name in owners(event.type) and getattr(event, "service", name) == name
