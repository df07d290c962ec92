"""Tenants: created, provisioned by every service, renamed, closed."""
