"""What can be refused about allocations."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class AllocationNotFound(NotFound):
    """There is no such allocation."""


class AllocationExists(Conflict):
    """This account has its allocation for this fiscal year; change that one."""


class BelowCommitted(Conflict):
    """More than this is committed already."""


class UnknownFiscalYear(Invalid):
    """There is no fiscal year with this `fiscal_year_id`."""


class UnknownAccount(Invalid):
    """There is no account with this `account_id`."""
