"""Logging, metrics and tracing for a service: one call wires an app, everything else is fields and names."""

from . import imports  # noqa: F401  # pyright: ignore[reportUnusedImport]  # before all that an odd variable would break
from .context import bind, explain
from .logs.logger import Logger, get_logger
from .settings import TelemetrySettings
from .telemetry import Telemetry, instrument, start

__all__ = ["Logger", "Telemetry", "TelemetrySettings", "bind", "explain", "get_logger", "instrument", "start"]
