"""What can be refused about tenants."""

from libs.service_kit.errors import Forbidden, NotFound


class TenantNotFound(NotFound):
    detail = "No tenant with this id can be given an administrator: it is unknown, or closed."


class PlatformOnly(Forbidden):
    detail = "Only the platform's own people may do this."
