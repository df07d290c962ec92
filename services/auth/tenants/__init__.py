"""The life of a tenant in auth, and its first administrators."""
