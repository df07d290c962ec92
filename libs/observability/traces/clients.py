"""Calls of httpx and httpx2 clients: a span for each, which passes the trace on."""

import os
from importlib.util import find_spec
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation

from ..redaction import redact_string

URL_TEMPLATE = "url.template"
"""The extension of a request by which a caller names its span: `client.get(url, extensions={URL_TEMPLATE: "/users/{id}"})`."""
quietly = suppress_instrumentation
"""`with quietly():` calls and queries inside leave no spans."""


def is_traced() -> bool:
    """Whether what happens now belongs to a trace, and is not done quietly."""
    return is_instrumentation_enabled() and trace.get_current_span().get_span_context().is_valid


def instrument_clients() -> None:
    """Gives each call of an httpx or httpx2 client a span that passes the trace on; a second time does nothing."""
    from opentelemetry.instrumentation import httpx as clients

    disabled = [name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    # What an older version of the instrumentation does not know is not instrumented.
    for name, kind in (("httpx", "HTTPXClientInstrumentor"), ("httpx2", "HTTPX2ClientInstrumentor")):
        instrumentor: Any = getattr(clients, kind, None)
        # Without the library itself the instrumentation would log an error.
        if not instrumentor or name in disabled or find_spec(name) is None:
            continue
        if not instrumentor().is_instrumented_by_opentelemetry:
            instrumentor().instrument(request_hook=describe_call, async_request_hook=_describe_call_async)


def describe_call(span: trace.Span, request: Any) -> None:
    """Names the span by the template of the URL, which a caller may give, else by the host.

    A query may hold a secret, and so may the part before the host: both go.
    """
    if span.is_recording():
        url = request.url
        authority = f"{url.host}:{url.port}" if url.port else url.host
        method = request.method.decode() if isinstance(request.method, bytes) else request.method
        extensions: dict[str, str] = request.extensions or {}
        template = extensions.get(URL_TEMPLATE)
        span.update_name(f"{method} {template or authority}")
        scrubbed = redact_string(f"{url.scheme}://{authority}{url.path}")
        # The second is the old name, which `OTEL_SEMCONV_STABILITY_OPT_IN` can bring back.
        names = getattr(span, "attributes", {}).keys() & {"url.full", "http.url"}
        span.set_attributes(dict.fromkeys(names, scrubbed) | ({URL_TEMPLATE: template} if template else {}))


async def _describe_call_async(span: trace.Span, request: Any) -> None:
    describe_call(span, request)
