"""Logging, metrics and tracing for a service: one call wires an app, everything else is fields and names."""

from libs.observability.context import bind
from libs.observability.logging import Logger, get_logger
from libs.observability.settings import TelemetrySettings
from libs.observability.telemetry import Telemetry, instrument, start

__all__ = ["Logger", "Telemetry", "TelemetrySettings", "bind", "get_logger", "instrument", "start"]
