"""Metrics: every family of the shared layer, the HTTP families, and the page that shows them."""
