"""The refusals of departments."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class DepartmentNotFound(NotFound):
    detail = "There is no such department."


class DepartmentCodeTaken(Conflict):
    detail = "Another department has this code."


class DepartmentCycle(Conflict):
    detail = "A department cannot be below itself at any depth."


class UnknownParent(Invalid):
    detail = "There is no department with this `parent_id`."
