"""Local mode, without Docker: PostgreSQL from a wheel, five services and the probe, kept alive by supervisord."""
