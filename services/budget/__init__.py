"""The budget service: money planned, asked for and committed."""
