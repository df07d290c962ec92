"""The whole stack on one machine, with Docker or without it. Read `__main__.py` first: `make up` begins there."""
