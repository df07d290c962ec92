"""The keys with which access tokens are signed."""
