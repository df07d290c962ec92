"""Where spans go: the provider of the process, its resource, and the exporters that the environment names."""

import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from typing import Any

from opentelemetry import trace
from opentelemetry.distro import OpenTelemetryConfigurator
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from ..files import RotatingFile
from ..instance import process_attributes
from ..settings import TelemetrySettings
from ..variables import CREDENTIALS, environment, usable
from .clients import instrument_clients
from .provider import Provider
from .queue import SpanQueue

log = logging.getLogger(__name__)

JAEGER_NAMES = ("jaeger", "jaeger_thrift")
FILES = "files"

# What the SDK uses where the environment says nothing.
DEFAULTS = {
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "16384",
    "OTEL_TRACES_SAMPLER_ARG": "1.0",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
}


def exporter_names(settings: TelemetrySettings) -> list[str]:
    """Which exporters the environment asks for: the named ones, else OTLP, the Jaeger agent or files by what is set."""
    if named := os.environ.get("OTEL_TRACES_EXPORTER", "").strip():
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "none")]
    if os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return ["otlp"]
    if settings.jaeger_agent_host:
        return ["jaeger"]
    return [FILES] if settings.traces_dir else ["otlp"]


def configure(settings: TelemetrySettings) -> None:
    """Sets the process's tracer provider, unless there is one already (`opentelemetry-instrument`).

    Whatever cannot be set up is one warning. Then there are no spans, and the service goes on.
    """
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    with environment({**_unset(), **usable(DEFAULTS)}):
        for step in (_configure_by_file, partial(_configure, settings), instrument_clients):
            try:
                step()
            except Exception as error:
                log.warning("a part of tracing cannot be set up, going on without", exc_info=error)


def _unset() -> dict[str, str]:
    return {name: value for name, value in DEFAULTS.items() if not os.environ.get(name)}


def _configure_by_file() -> None:
    """A declarative configuration is the distro's to read. One that cannot be read is one warning; then ours holds."""
    if os.environ.get("OTEL_CONFIG_FILE"):
        OpenTelemetryConfigurator().configure()  # pyright: ignore[reportUnknownMemberType]


def _configure(settings: TelemetrySettings) -> None:
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not is_disabled and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(_provider(settings))


def _provider(settings: TelemetrySettings) -> Provider:
    names = exporter_names(settings)
    queues = [queue for name in names if (queue := _queue_or_none(name, settings))]
    if (
        names
        and not queues
        and settings.traces_dir
        and FILES not in names
        and (queue := _queue_or_none(FILES, settings))
    ):
        queues.append(queue)
    resource = Resource.create(_attributes(settings))
    # The SDK's own provider, which is not used further, reads the variables of the sampler.
    sampler = TracerProvider(resource=resource, shutdown_on_exit=False).sampler
    chosen = os.environ.get("OTEL_PYTHON_ID_GENERATOR", "random").strip()
    ids = None if chosen in ("", "random") else _plugin("opentelemetry_id_generator", chosen)()
    return Provider(resource, sampler=sampler, ids=ids, queues=queues)


def _attributes(settings: TelemetrySettings) -> dict[str, str | int]:
    """The resource as the settings describe it, but for what `OTEL_RESOURCE_ATTRIBUTES` says otherwise."""
    attributes = {
        "service.namespace": settings.service_namespace,
        "service.version": settings.service_version,
        "deployment.environment.name": settings.environment,
        "host.name": socket.gethostname(),
        **process_attributes(),
    }
    given = OTELResourceDetector().detect().attributes
    ours = {key: value for key, value in attributes.items() if value and key not in given}
    # Nobody has named the service, so the name in the attributes holds.
    if "service.name" in given and "service_name" not in settings.model_fields_set:
        return ours
    return ours | {"service.name": settings.service_name}


def _queue_or_none(name: str, settings: TelemetrySettings) -> SpanQueue | None:
    """The way out of this name; None, and one warning, where it cannot be set up: the others go on."""
    try:
        return _queue(name, settings)
    except Exception as error:
        log.warning("an exporter of spans cannot be set up", extra={"exporter": name}, exc_info=error)
        return None


def _queue(name: str, settings: TelemetrySettings) -> SpanQueue:
    if name in JAEGER_NAMES:
        from . import jaeger

        host = settings.jaeger_agent_host
        return SpanQueue(jaeger.exporter(host, settings.jaeger_agent_port if host else None))
    if name == FILES:
        return SpanQueue(_span_file(settings))
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]
        name = "otlp_proto_grpc" if protocol.strip() == "grpc" else "otlp_proto_http"
    if name == "otlp_proto_http" and (queue := _fast_queue()):
        return queue
    return SpanQueue(_plugin("opentelemetry_traces_exporter", name)(**_without_proxy(name)))


def _without_proxy(name: str) -> dict[str, Any]:
    """What keeps a collector's spans away from the proxy that the caller's shell names for the web."""
    if name == "otlp_proto_grpc":
        return {"channel_options": (("grpc.enable_http_proxy", 0),)}
    if name != "otlp_proto_http" or any(map(os.environ.get, CREDENTIALS)):
        return {}
    import requests  # another way out does not need its 5 MB

    session = requests.Session()
    session.trust_env = False
    return {"session": session}


def _fast_queue() -> SpanQueue | None:
    """A queue that encodes spans many times as fast as the library, if that is there and proves itself."""
    try:
        from ..fast import sender
    except ImportError:
        return None
    exporter = sender.proven()
    return exporter and SpanQueue(exporter, sender.encode)


def _span_file(settings: TelemetrySettings) -> SpanExporter:
    from .files import SpanFile

    if settings.traces_dir is None:
        raise ValueError("OTEL_TRACES_EXPORTER=files needs TRACES_DIR")
    path = settings.traces_dir / "spans.jsonl"
    return SpanFile(RotatingFile(path, settings.trace_file_bytes, settings.trace_files_kept))


def _plugin(group: str, name: str) -> Callable[[], Any]:
    """What an installed package offers under this name, as the SDK looks it up."""
    for found in entry_points(group=group, name=name):
        return found.load()
    raise ValueError(f"no installed package offers {name!r} as {group}")
