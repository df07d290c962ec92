"""What is known about the request or message being handled, added to every log line written meanwhile."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Token
from typing import cast

from opentelemetry import context as otel
from opentelemetry.trace import INVALID_SPAN, Span, SpanContext, set_span_in_context

from libs.observability.redaction import redact

# Who is acting is worth finding traces by; everything else stays in the log lines.
SPAN_ATTRIBUTES = {"tenant_id": "tenant.id", "user_id": "user.id"}

# What every line has; any other field of such a name gets an underscore behind it.
OWN_FIELDS = frozenset(("timestamp", "level", "service", "environment", "version", "message", "context"))
# What is measured of a request or message: nothing else is bound under these names.
MEASURED = frozenset(("http", "error", "duration_ms", "trace_id", "span_id"))


class Work:
    """One request or message: its span, and the fields bound to it."""

    __slots__ = ("fields", "span")

    def __init__(self, span: Span | None = None) -> None:
        self.span = span
        self.fields: dict[str, object] = {}


# Both are in OpenTelemetry's context, which is one thing to enter and leave. Its key for the span it keeps to itself.
_WORK = otel.create_key("observability-work")
_SPAN = next(iter(set_span_in_context(INVALID_SPAN, otel.Context())))


def bind(**fields: object) -> None:
    """Adds `fields` to every later log line of this request or message; None removes one.

    `tenant_id` and `user_id` also become attributes of its span. The fields belong to the request as a whole: what an
    async or a threaded dependency binds is seen by the endpoint and by the access line. Outside of any request or
    message they hold for the current task.
    """
    work = _current()
    if work is None:
        work = Work()
        otel.attach(otel.set_value(_WORK, work))
    for name, value in fields.items():
        stored = f"{name}_" if name in MEASURED else own_name(name)
        if value is None:
            work.fields.pop(stored, None)
            continue
        work.fields[stored] = redact(name, value)
        if work.span is not None and name in SPAN_ATTRIBUTES:
            work.span.set_attribute(SPAN_ATTRIBUTES[name], str(value))


def own_name(name: str) -> str:
    """The name under which a field stands in a line."""
    return f"{name}_" if name in OWN_FIELDS else name


def bound() -> dict[str, object]:
    """The fields bound to the current request or message (not a copy: do not change it)."""
    work = _current()
    return {} if work is None else work.fields


def _current() -> Work | None:
    return cast("Work | None", otel.get_value(_WORK))


def begin(work: Work, parent: otel.Context) -> Token[otel.Context]:
    """Begins a request or message in the context of its parent, with nothing of what was bound before."""
    return otel.attach(otel.Context({**parent, _SPAN: work.span, _WORK: work}))


def ids_of(context: SpanContext) -> dict[str, str]:
    """How the lines of a span name it."""
    if not context.is_valid:
        return {}
    # The API's own way of writing them, `format(id, "032x")`, takes half as long again.
    return {"trace_id": context.trace_id.to_bytes(16, "big").hex(), "span_id": context.span_id.to_bytes(8, "big").hex()}


def end(token: Token[otel.Context]) -> None:
    """Returns to the context before `begin`."""
    otel.detach(token)


@contextmanager
def working(span: Span, parent: otel.Context | None = None, **fields: object) -> Generator[None]:
    """A request or message with this span and these fields, redacted; its parent's context is the current one if none is given."""
    token = begin(Work(span), otel.get_current() if parent is None else parent)
    try:
        bind(**fields)
        yield
    finally:
        end(token)
