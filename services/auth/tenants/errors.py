"""The refusals of tenants."""

from libs.service_kit.errors import Forbidden, NotFound


class TenantNotFound(NotFound):
    detail = "The tenant is unknown or closed, so it cannot be given an administrator."


class PlatformOnly(Forbidden):
    detail = "Only users of the platform may create administrators of tenants."
