"""The tenant service: the tenants of the platform, and the saga that provisions them."""
