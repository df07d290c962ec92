"""Jaeger's own protocol, by opentelemetry-exporter-jaeger, for collectors that know no OTLP; imported only when it is used."""

from opentelemetry.sdk import environment_variables
from opentelemetry.sdk.trace.export import SpanExporter

# Release 1.21 of the exporter is the last one. It imports the names of its variables from the SDK, which no longer has
# them; nothing else of what its Thrift half needs has changed. Its gRPC half is beyond help and never imported.
VARIABLES = ("AGENT_HOST", "AGENT_PORT", "AGENT_SPLIT_OVERSIZED_BATCHES", "ENDPOINT", "PASSWORD", "TIMEOUT", "USER")


def exporter(agent_host: str | None = None, agent_port: int | None = None) -> SpanExporter:
    """Sends to `OTEL_EXPORTER_JAEGER_ENDPOINT` over HTTP when that is set, else to the agent over UDP.

    Without a host, the exporter's own `OTEL_EXPORTER_JAEGER_AGENT_HOST` and `_PORT` and their defaults decide.
    """
    for variable in VARIABLES:
        name = f"OTEL_EXPORTER_JAEGER_{variable}"
        if not hasattr(environment_variables, name):
            setattr(environment_variables, name, name)

    from .thrift import JaegerThriftExporter

    return JaegerThriftExporter(agent_host, agent_port)
