"""Settings of a tenant: a few known ones, each with a type and a default."""
