"""What can be refused about roles."""

from libs.service_kit.errors import Conflict, Forbidden, Invalid, NotFound


class RoleNotFound(NotFound):
    """The tenant has no such role."""


class UnknownRole(Invalid):
    """The request names a role that the tenant does not have."""


class RoleNameTaken(Conflict):
    """The tenant has a role of this name."""


class BuiltinRole(Conflict):
    """Built-in roles stay as they are; make one of your own."""


class CannotGrant(Forbidden):
    """Nobody can give away a permission that they do not have."""
