"""What can be refused about tenants."""

from libs.service_kit.errors import Conflict, Forbidden, NotFound


class PlatformOnly(Forbidden):
    detail = "Only the platform's own people may manage tenants."


class TenantNotFound(NotFound):
    detail = "There is no such tenant."


class TenantCodeTaken(Conflict):
    detail = "A tenant has or had this code; a code is never given twice."


class TenantIsClosed(Conflict):
    detail = "A closed tenant cannot be changed."
