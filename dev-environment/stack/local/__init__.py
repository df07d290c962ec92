"""Local mode, without Docker: PostgreSQL from a wheel and five services, kept alive by supervisord."""
