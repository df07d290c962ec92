"""The audit trail: every event, kept as it was published."""
