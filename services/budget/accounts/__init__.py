"""Accounts: the purposes for which money is planned."""
