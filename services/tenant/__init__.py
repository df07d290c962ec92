"""The tenant service: who uses the platform, and how each of them comes to be ready."""
