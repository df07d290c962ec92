"""Accounts: what money is planned for."""
