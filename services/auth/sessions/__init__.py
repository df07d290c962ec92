"""Sessions: each begins with a login and has a family of refresh tokens."""
