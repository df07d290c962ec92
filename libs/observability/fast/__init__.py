"""Shortcuts past what the libraries do slowly. Without this folder everything works, at a higher price."""
