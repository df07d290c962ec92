"""Fiscal years: the times that money is planned for."""
