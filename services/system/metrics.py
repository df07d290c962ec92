"""The business metrics of the system service."""

from prometheus_client import Counter

AUDIT_ENTRIES = Counter("audit_entries_total", "Entries added to the audit trail, by type of event.", ["event_type"])
