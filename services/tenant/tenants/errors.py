"""What can be refused about tenants."""

from libs.service_kit.errors import Conflict, Forbidden, NotFound


class PlatformOnly(Forbidden):
    """Tenants are the business of the platform's own people."""


class TenantNotFound(NotFound):
    """There is no such tenant."""


class TenantCodeTaken(Conflict):
    """A tenant has or had this code; codes are never given twice."""


class TenantIsClosed(Conflict):
    """A closed tenant changes no more."""
