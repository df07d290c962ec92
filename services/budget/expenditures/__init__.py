"""Expenditures: one employee requests them, another approves or rejects them."""
