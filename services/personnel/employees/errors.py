"""What can be refused about employees."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class EmployeeNotFound(NotFound):
    """There is no such employee."""


class NotAnEmployee(NotFound):
    """The caller is no employee of this tenant."""


class EmployeeNumberTaken(Conflict):
    """Another employee has this number."""


class EmployeeUserTaken(Conflict):
    """Another employee logs in as this user."""


class AppointmentOverlap(Conflict):
    """The employee has another appointment in this time."""


class UnknownDepartment(Invalid):
    """There is no department with this `department_id`."""
