"""How the stack grows: replicas of a service, and the rows of many tenants."""
