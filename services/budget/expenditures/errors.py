"""What can be refused about expenditures."""

from libs.service_kit.errors import Conflict, Forbidden, Invalid, NotFound


class ExpenditureNotFound(NotFound):
    """There is no such expenditure."""


class UnknownAllocation(Invalid):
    """There is no allocation with this `allocation_id`."""


class NotAnEmployee(Forbidden):
    """Only who is employed today may request or approve."""


class OwnRequest(Forbidden):
    """Nobody approves a request of their own."""


class RequesterLeft(Conflict):
    """The requester is not employed any more."""


class AlreadyDecided(Conflict):
    """It has been approved or rejected before."""


class BudgetExceeded(Conflict):
    """The allocation has less left than this."""
