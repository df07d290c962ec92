"""Departments: a tree in each tenant."""
