"""Local mode, without Docker: PostgreSQL from a wheel, five services, the probe, the page and watchers, kept alive by supervisord."""
