"""Allocations: the money of one account in one fiscal year."""
