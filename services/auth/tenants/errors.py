"""What can be refused about tenants."""

from libs.service_kit.errors import Forbidden, NotFound


class TenantNotFound(NotFound):
    """No tenant of this id can be given an administrator: it is unknown here, or closed."""


class PlatformOnly(Forbidden):
    """Only the people of the platform may do this."""
