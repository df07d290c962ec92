"""A tenant's life as auth sees it, and its first administrators."""
