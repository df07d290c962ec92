"""Spans: our own provider behind the public classes of opentelemetry-api, and the ways out of the process."""
