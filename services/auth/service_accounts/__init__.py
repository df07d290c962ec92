"""Service accounts: the services log in with them for calls that no user started."""
