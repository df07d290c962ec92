"""Where spans come from and where they go: the SDK by its distro, one exporter by the environment, HTTP clients instrumented."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.distro import OpenTelemetryConfigurator, OpenTelemetryDistro
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import OTELResourceDetector
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from libs.observability.log_files import RotatingFile
from libs.observability.logging import get_logger
from libs.observability.otlp import FastExporter, prepare
from libs.observability.redaction import redact_text
from libs.observability.settings import TelemetrySettings
from libs.observability.spans import BoundedBatch

log = get_logger(__name__)

quietly = suppress_instrumentation
"""`with quietly():` calls and queries inside leave no spans."""

JAEGER_NAMES = ("jaeger", "jaeger_thrift")
FILES = "files"

# What the SDK uses where the environment says nothing. A second of two thousand spans fits into the queue.
DEFAULTS = {
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_BSP_MAX_QUEUE_SIZE": "8192",
    "OTEL_BSP_SCHEDULE_DELAY": "1000",
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

    What cannot be set up is one warning; then there are no spans, and the service goes on.
    """
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    try:
        with environment({name: value for name, value in DEFAULTS.items() if not os.environ.get(name)}):
            _configure_sdk(settings)
            instrument_clients()
    except Exception as error:
        log.warning("tracing cannot be set up, going on without", error=error)


def _configure_sdk(settings: TelemetrySettings) -> None:
    names = exporter_names(settings)
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    ours = [] if disabled else [_exporter(name, settings) for name in names if name in (*JAEGER_NAMES, FILES)]
    theirs = [] if disabled else [name for name in names if name not in (*JAEGER_NAMES, FILES)]
    with environment({"OTEL_TRACES_EXPORTER": ",".join(theirs) or "none"}):
        OpenTelemetryDistro().configure()  # pyright: ignore[reportUnknownMemberType]
        OpenTelemetryConfigurator().configure(  # pyright: ignore[reportUnknownMemberType]
            resource_attributes=_resource(settings),
            span_processors=[BoundedBatch(exporter) for exporter in ours],
            export_span_processor=_batch,
        )


def _batch(exporter: SpanExporter) -> BoundedBatch:
    """A queue for an exporter of the SDK's choice; for its OTLP exporter our faster one, which reads the same variables."""
    return BoundedBatch(FastExporter(), prepare) if type(exporter) is OTLPSpanExporter else BoundedBatch(exporter)


def _resource(settings: TelemetrySettings) -> dict[str, Any]:
    """Ours, but for what `OTEL_RESOURCE_ATTRIBUTES` says otherwise."""
    attributes = {
        "service.namespace": settings.service_namespace,
        "service.version": settings.service_version,
        "deployment.environment.name": settings.environment,
    }
    given = OTELResourceDetector().detect().attributes
    return {key: value for key, value in attributes.items() if key not in given} | {
        "service.name": settings.service_name
    }


def _exporter(name: str, settings: TelemetrySettings) -> SpanExporter:
    if name in JAEGER_NAMES:
        from libs.observability import jaeger

        host = settings.jaeger_agent_host
        return jaeger.exporter(host, settings.jaeger_agent_port if host else None)
    from libs.observability.span_files import SpanFile

    if settings.traces_dir is None:
        raise ValueError("OTEL_TRACES_EXPORTER=files needs TRACES_DIR")
    path = settings.traces_dir / "spans.jsonl"
    return SpanFile(RotatingFile(path, settings.trace_file_bytes, settings.trace_files_kept))


def instrument_clients() -> None:
    """Gives each call of an httpx or httpx2 client a span that hands the trace on; a second time does nothing."""
    from opentelemetry.instrumentation import httpx as clients

    disabled = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    for name, kind in (("httpx", clients.HTTPXClientInstrumentor), ("httpx2", clients.HTTPX2ClientInstrumentor)):
        instrumentor = kind()
        if name not in disabled and not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(request_hook=_describe_call, async_request_hook=_describe_call_async)


def _describe_call(span: trace.Span, request: Any) -> None:
    """Names the host in the span's name. A query may hold a secret, and so may the part before the host: both go."""
    if span.is_recording():
        url = request.url
        authority = f"{url.host}:{url.port}" if url.port else url.host
        method = request.method.decode() if isinstance(request.method, bytes) else request.method
        span.update_name(f"{method} {authority}")
        scrubbed = redact_text(f"{url.scheme}://{authority}{url.path}")
        # The second is the old name, which `OTEL_SEMCONV_STABILITY_OPT_IN` can bring back.
        names = getattr(span, "attributes", {}).keys() & {"url.full", "http.url"}
        span.set_attributes(dict.fromkeys(names, scrubbed))


async def _describe_call_async(span: trace.Span, request: Any) -> None:
    _describe_call(span, request)


@contextmanager
def environment(values: Mapping[str, str]) -> Generator[None]:
    """Sets variables for the SDK, which reads nothing else, and takes back what it sets itself: children inherit them."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
