"""Local mode, without Docker: PostgreSQL from a wheel, five services, the probe and the page, kept alive by supervisord."""
