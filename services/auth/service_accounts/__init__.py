"""Accounts of the services themselves, for calls that no user started."""
