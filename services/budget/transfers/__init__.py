"""Transfers: money that moves from one allocation to another of the same fiscal year."""
