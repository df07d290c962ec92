"""The refusals of expenditures."""

from libs.service_kit.errors import Conflict, Forbidden, Invalid, NotFound


class ExpenditureNotFound(NotFound):
    detail = "There is no such expenditure."


class UnknownAllocation(Invalid):
    detail = "There is no allocation with this `allocation_id`."


class NotAnEmployee(Forbidden):
    detail = "Only an employee whose appointment covers today may request or approve an expenditure."


class OwnRequest(Forbidden):
    detail = "Nobody may approve their own expenditure."


class NotIndependent(Forbidden):
    detail = (
        "The requester has set up the approver's account or its link to an employee, or the approver the requester's."
    )


class RequesterLeft(Conflict):
    detail = "The requester is no longer employed."


class AlreadyDecided(Conflict):
    detail = "The expenditure is already approved or rejected."


class BudgetExceeded(Conflict):
    detail = "The allocation has less money left than the expenditure needs."
