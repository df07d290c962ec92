"""Imports what reads its variables while it is imported, once they are such that it can be imported."""

from importlib import import_module

from .variables import mend_for_import

mend_for_import()
for name in ("opentelemetry.context", "opentelemetry.propagate", "prometheus_client"):
    import_module(name)
