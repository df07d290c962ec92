"""What abuse does to a service: its memory, its liveness, and what its legitimate clients notice."""
