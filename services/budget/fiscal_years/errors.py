"""What can be refused about fiscal years."""

from libs.service_kit.errors import Conflict, NotFound


class FiscalYearNotFound(NotFound):
    detail = "There is no such fiscal year."


class FiscalYearOverlap(Conflict):
    detail = "Another fiscal year covers a part of this time."
