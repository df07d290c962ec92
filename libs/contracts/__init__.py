"""What the services agree on: the events and who hears them, and the permissions that a token can carry."""

from libs.contracts import auth, budget, personnel, provisioning, system, tenant
from libs.contracts.events import EVENTS, CloudEvent, Event, read_event, trace_of
from libs.contracts.permissions import PLATFORM_TENANT_ID
from libs.contracts.subscriptions import SUBSCRIPTIONS, is_own, owners, subscribers

__all__ = [
    "EVENTS",
    "PLATFORM_TENANT_ID",
    "SUBSCRIPTIONS",
    "CloudEvent",
    "Event",
    "auth",
    "budget",
    "is_own",
    "owners",
    "personnel",
    "provisioning",
    "read_event",
    "subscribers",
    "system",
    "tenant",
    "trace_of",
]
