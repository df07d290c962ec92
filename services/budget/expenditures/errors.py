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
        "One of requester and approver has set up the other's account, directly or not, or its link to an employee; or "
        "one person has set up both accounts, and the password of one has not been replaced since."
    )


class RequesterLeft(Conflict):
    detail = "The requester is no longer employed."


class AlreadyDecided(Conflict):
    detail = "The expenditure is already approved or rejected."


class BudgetExceeded(Conflict):
    detail = "The allocation has less money left than the expenditure needs."
