"""Expenditures: requested by an employee, approved or rejected by another."""
