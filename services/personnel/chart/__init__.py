"""The organisation chart: the departments, with the people whose appointments cover a day."""
