"""The refusals of allocations."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class AllocationNotFound(NotFound):
    detail = "There is no such allocation."


class AllocationExists(Conflict):
    detail = "The account already has an allocation for this fiscal year; change that one."


class BelowCommitted(Conflict):
    detail = "More than this amount is already committed."


class UnknownFiscalYear(Invalid):
    detail = "There is no fiscal year with this `fiscal_year_id`."


class UnknownAccount(Invalid):
    detail = "There is no account with this `account_id`."
