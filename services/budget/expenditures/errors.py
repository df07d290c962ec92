"""What can be refused about expenditures."""

from libs.service_kit.errors import Conflict, Forbidden, Invalid, NotFound


class ExpenditureNotFound(NotFound):
    detail = "There is no such expenditure."


class UnknownAllocation(Invalid):
    detail = "There is no allocation with this `allocation_id`."


class NotAnEmployee(Forbidden):
    detail = "Only an employee whose appointment covers today may request or approve."


class OwnRequest(Forbidden):
    detail = "Nobody may approve their own request."


class RequesterLeft(Conflict):
    detail = "The requester is no longer employed."


class AlreadyDecided(Conflict):
    detail = "The request has been approved or rejected before."


class BudgetExceeded(Conflict):
    detail = "The allocation has less money left than this."
