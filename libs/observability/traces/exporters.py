"""Where spans go: the provider of the process, its resource, and the exporters that the environment names."""

import logging
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
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
    try:
        with environment({name: value for name, value in DEFAULTS.items() if not os.environ.get(name)}):
            if os.environ.get("OTEL_CONFIG_FILE"):  # a declarative configuration is the distro's to read
                OpenTelemetryConfigurator().configure()  # pyright: ignore[reportUnknownMemberType]
            elif os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
                trace.set_tracer_provider(_provider(settings))
            instrument_clients()
    except Exception as error:
        log.warning("tracing cannot be set up, going on without", exc_info=error)


def _provider(settings: TelemetrySettings) -> Provider:
    queues = [_queue(name, settings) for name in exporter_names(settings)]
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
        **process_attributes(),
    }
    given = OTELResourceDetector().detect().attributes
    ours = {key: value for key, value in attributes.items() if value and key not in given}
    return ours | {"service.name": settings.service_name}


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
    return SpanQueue(_plugin("opentelemetry_traces_exporter", name)())


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


@contextmanager
def environment(values: Mapping[str, str]) -> Generator[None]:
    """Sets variables for the SDK, which reads nothing else, and restores them: child processes would inherit them."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
