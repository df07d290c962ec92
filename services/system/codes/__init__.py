"""Common codes: the values that a tenant's people choose from, in groups."""
