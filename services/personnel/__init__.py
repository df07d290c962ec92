"""The personnel service: departments, employees and their appointments."""
