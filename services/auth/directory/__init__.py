"""The directory of tenants: the data about tenants that a login needs."""
