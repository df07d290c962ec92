"""The refusals of the audit trail."""

from libs.service_kit.errors import NotFound


class AuditEntryNotFound(NotFound):
    detail = "There is no such audit entry."
