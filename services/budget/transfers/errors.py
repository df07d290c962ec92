"""The refusals of transfers."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class TransferNotFound(NotFound):
    detail = "There is no such transfer."


class UnknownTransferAllocation(Invalid):
    detail = "There is no allocation with this `from_allocation_id` or `to_allocation_id`."


class DifferentFiscalYears(Conflict):
    detail = "The two allocations belong to different fiscal years."


class TransferExceedsAvailable(Conflict):
    detail = "The allocation has less money left than the transfer takes."


class AllocationTooLarge(Conflict):
    detail = "The receiving allocation would be larger than an amount can be."
