"""Local mode, without Docker: PostgreSQL from a wheel, five services, the probe and what watches, kept alive by supervisord."""
