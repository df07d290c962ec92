"""Tracers of ours, which say by which version of what their spans are made."""

from opentelemetry import trace

VERSION = "1.1.0"
"""Of this package; it changes when the names or attributes of its spans do."""
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"


def get_tracer(name: str, provider: trace.TracerProvider | None = None) -> trace.Tracer:
    """The tracer of a module: `get_tracer(__name__)`."""
    return trace.get_tracer(name, VERSION, provider, SCHEMA_URL)
