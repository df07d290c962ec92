"""The table of the services: everything else that lists them reads it."""

import hmac
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Service:
    """One service of the platform."""

    name: str
    """The short name: of the folder, the database, the roles and the event subscriber."""
    port: int
    hears: tuple[str, ...]
    """The types of the events that are delivered to the service."""
    prepares_tenants: bool
    """Whether a new tenant becomes active only after this service has answered `tenant.created.v1`."""

    @property
    def full_name(self) -> str:
        """The name in log lines, metrics and traces, and of the container: `budget-service`."""
        return f"{self.name}-service"


# Heard by every service, since each refuses the people of a stopped tenant.
STOPPING = (TenantSuspended.type, TenantResumed.type, TenantClosed.type)

SERVICES = (
    Service(
        "auth",
        3001,
        (TenantCreated.type, TenantActivated.type, TenantPlanChanged.type, *STOPPING),
        prepares_tenants=True,
    ),
    Service(
        "tenant",
        3002,
        (TenantPrepared.type, TenantPreparationFailed.type, TenantExported.type, *STOPPING),
        prepares_tenants=False,
    ),
    Service("system", 3003, tuple(EVENTS), prepares_tenants=True),
    Service("budget", 3010, (TenantCreated.type, *STOPPING), prepares_tenants=True),
    Service("personnel", 3020, (TenantCreated.type, TenantPlanChanged.type, *STOPPING), prepares_tenants=True),
)
PORTS = {service.name: service.port for service in SERVICES}
SUBSCRIPTIONS = {service.name: service.hears for service in SERVICES}
PARTICIPANTS = tuple(sorted(service.name for service in SERVICES if service.prepares_tenants))


def subscribers(event_type: str) -> list[str]:
    """The short names of the services that hear this type of event."""
    return [service.name for service in SERVICES if event_type in service.hears]


def account_secret(main_secret: str, client_id: str) -> str:
    """The secret of one service's account. Whoever has it can derive neither the main one nor that of another service."""
    return hmac.new(main_secret.encode(), client_id.encode(), "sha256").hexdigest()


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
