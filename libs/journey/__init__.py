"""One client of the public API, which plays the story of a tenant: for `make demo`, the load and the end-to-end tests."""
