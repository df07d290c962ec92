"""The system service: the audit trail of every event of all services."""
