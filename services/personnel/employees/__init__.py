"""Employees, and their appointments: the departments and periods in which they work."""
