"""Docker mode: the services, PostgreSQL, RabbitMQ and what watches them, in containers run by docker compose."""
