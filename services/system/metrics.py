"""The business metrics of the system service."""

from prometheus_client import Counter

from libs.contracts.system import CodeCreated, CodeGroupCreated, CodeGroupUpdated, CodeUpdated, SettingChanged
from libs.service_kit.events.outbox import Counts

AUDIT_ENTRIES = Counter("audit_entries_total", "Entries added to the audit trail, by type of event.", ["event_type"])

CHANGES = Counter("system_changes_total", "Changes of common codes and settings.", ["what"])
CODES, SETTINGS = map(CHANGES.labels, ("codes", "settings"))
COUNTS: Counts = {
    **dict.fromkeys((CodeGroupCreated, CodeGroupUpdated, CodeCreated, CodeUpdated), lambda _: CODES.inc()),
    SettingChanged: lambda _: SETTINGS.inc(),
}
