"""What can be refused about departments."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class DepartmentNotFound(NotFound):
    """There is no such department."""


class DepartmentCodeTaken(Conflict):
    """Another department has this code."""


class DepartmentCycle(Conflict):
    """A department cannot be below itself, at any depth."""


class UnknownParent(Invalid):
    """There is no department with this `parent_id`."""
