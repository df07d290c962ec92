"""Fiscal years: the periods for which money is planned."""
