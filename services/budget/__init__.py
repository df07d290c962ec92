"""The budget service: money is planned, requested and committed."""
