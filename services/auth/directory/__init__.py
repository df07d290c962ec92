"""The directory of tenants: what login needs to know of them."""
