"""What the service kit costs: a request with it against one without, and an event from outbox to inbox."""
