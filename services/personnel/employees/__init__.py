"""Employees, and the appointments that say where they work from when to when."""
