"""The refusals of employees."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class EmployeeNotFound(NotFound):
    detail = "There is no such employee."


class NotAnEmployee(NotFound):
    detail = "The caller is not an employee of this tenant."


class EmployeeNumberTaken(Conflict):
    detail = "Another employee has this number."


class EmployeeUserTaken(Conflict):
    detail = "Another employee logs in as this user."


class AppointmentOverlap(Conflict):
    detail = "The employee has another appointment that overlaps this period."


class NotEmployedThen(Conflict):
    detail = "The employee has no appointment on this day."


class AppointmentBegun(Conflict):
    detail = "An appointment after this day has already begun, so it cannot be cancelled."


class NothingTransferred(Conflict):
    detail = "A transfer leads into another department, and not on the first day of the appointment that it ends."


class UnknownDepartment(Invalid):
    detail = "There is no department with this `department_id`."
