"""The table of the services: everything else that lists them reads it. Who hears what: libs/contracts/subscriptions.py."""

import hmac
from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """One service of the platform."""

    name: str
    """The short name: of the folder, the database, the roles and the event subscriber."""
    port: int
    prepares_tenants: bool
    """Whether a new tenant becomes active only after this service has answered `tenant.created.v1`."""

    @property
    def full_name(self) -> str:
        """The name in log lines, metrics and traces, and of the container: `budget-service`."""
        return f"{self.name}-service"


SERVICES = (
    Service("auth", 3001, prepares_tenants=True),
    Service("tenant", 3002, prepares_tenants=False),
    Service("system", 3003, prepares_tenants=True),
    Service("budget", 3010, prepares_tenants=True),
    Service("personnel", 3020, prepares_tenants=True),
)
PORTS = {service.name: service.port for service in SERVICES}
PARTICIPANTS = tuple(sorted(service.name for service in SERVICES if service.prepares_tenants))


def account_secret(main_secret: str, client_id: str) -> str:
    """The secret of one service's account. Whoever has it can derive neither the main one nor that of another service."""
    return hmac.new(main_secret.encode(), client_id.encode(), "sha256").hexdigest()
