"""What can be refused about fiscal years."""

from libs.service_kit.errors import Conflict, NotFound


class FiscalYearNotFound(NotFound):
    """There is no such fiscal year."""


class FiscalYearOverlap(Conflict):
    """Another fiscal year covers a part of this time."""
