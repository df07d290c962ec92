"""A client of the public API that plays the story of a tenant, for `make demo`, `make load` and the end-to-end tests.

`probe` is a program of its own: a synthetic user who never stops.
"""

PROBES_USER_AGENT = "all-erp-probe"
"""It tells the requests of the synthetic user from those of people."""
