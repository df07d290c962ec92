"""The refusals of fiscal years."""

from libs.service_kit.errors import Conflict, NotFound


class FiscalYearNotFound(NotFound):
    detail = "There is no such fiscal year."


class FiscalYearOverlap(Conflict):
    detail = "Another fiscal year overlaps this period."
