"""Password changes: by the owner, or by whoever holds a one-time token of an administrator."""
