"""Logging in, staying logged in, logging out."""
