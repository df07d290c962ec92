"""The refusals of tenants."""

from libs.service_kit.errors import Conflict, Forbidden, NotFound


class PlatformOnly(Forbidden):
    detail = "Only users of the platform may manage tenants."


class TenantNotFound(NotFound):
    detail = "There is no such tenant."


class TenantCodeTaken(Conflict):
    detail = "A tenant has or had this code; no code is used twice."


class CannotSuspend(Conflict):
    detail = "Only an active tenant can be suspended."


class CannotResume(Conflict):
    detail = "Only a suspended tenant can be resumed."


class CannotClose(Conflict):
    detail = "Only a suspended tenant can be closed."


class NotExported(Conflict):
    detail = "Some services have not exported the tenant since it was suspended."


class TenantIsClosed(Conflict):
    detail = "A closed tenant cannot be changed."
