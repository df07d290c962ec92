"""Imports what reads its variables while it is imported, once they are such that it can be imported."""

from .variables import mend_for_import

mend_for_import()

import opentelemetry.context  # noqa: E402
import opentelemetry.propagate  # noqa: E402, F401
import prometheus_client  # noqa: E402, F401
