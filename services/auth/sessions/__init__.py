"""Sessions: families of refresh tokens, each begun by one login."""
