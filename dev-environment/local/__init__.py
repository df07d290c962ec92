"""The whole stack on one machine without Docker: PostgreSQL from a wheel, the services under supervisord."""
