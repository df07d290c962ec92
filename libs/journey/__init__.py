"""A client of the public API that plays the story of a tenant, for `make demo`, `make load` and the end-to-end tests."""
