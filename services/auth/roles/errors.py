"""The refusals of roles."""

from libs.service_kit.errors import Conflict, Forbidden, Invalid, NotFound


class RoleNotFound(NotFound):
    detail = "The tenant has no such role."


class UnknownRole(Invalid):
    detail = "The request names a role that the tenant does not have."


class RoleNameTaken(Conflict):
    detail = "Another role of the tenant has this name."


class BuiltinRole(Conflict):
    detail = "A built-in role cannot be changed; create one of your own."


class CannotGrant(Forbidden):
    detail = "Nobody can grant a permission that they do not have."


class Outranked(Forbidden):
    detail = "Nobody can change a role, or somebody, with a permission that they do not have themselves."
