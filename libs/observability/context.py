"""What is known about the request or message being handled, added to every log line written meanwhile."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar, Token

from opentelemetry.trace import Span, SpanContext

from libs.observability.redaction import redact

# Who is acting is worth finding traces by; everything else stays in the log lines.
SPAN_ATTRIBUTES = {"tenant_id": "tenant.id", "user_id": "user.id"}

# What every line has; any other field of such a name gets an underscore behind it.
OWN_FIELDS = frozenset(("timestamp", "level", "service", "environment", "version", "message", "context"))
# Objects that describe the request or its failure: nothing else is bound under their names.
OBJECTS = frozenset(("http", "error"))


class Work:
    """One request or message: its span, and the fields bound to it."""

    __slots__ = ("fields", "span")

    def __init__(self, span: Span | None = None) -> None:
        self.span = span
        self.fields: dict[str, object] = {}


_current: ContextVar[Work | None] = ContextVar("observability_work", default=None)


def bind(**fields: object) -> None:
    """Adds `fields` to every later log line of this request or message; None removes one.

    `tenant_id` and `user_id` also become attributes of its span. The fields belong to the request as a whole: what an
    async or a threaded dependency binds is seen by the endpoint and by the access line. Outside of any request or
    message they hold for the current task.
    """
    work = _current.get()
    if work is None:
        work = Work()
        _current.set(work)
    for name, value in fields.items():
        stored = f"{name}_" if name in OBJECTS else own_name(name)
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
    work = _current.get()
    return {} if work is None else work.fields


def begin(work: Work) -> Token[Work | None]:
    """Begins a request or message, with nothing of what was bound before."""
    return _current.set(work)


def ids_of(context: SpanContext) -> dict[str, object]:
    """How the lines of a span name it."""
    if not context.is_valid:
        return {}
    # The API's own way of writing them, `format(id, "032x")`, takes half as long again.
    return {"trace_id": context.trace_id.to_bytes(16, "big").hex(), "span_id": context.span_id.to_bytes(8, "big").hex()}


def end(token: Token[Work | None]) -> None:
    """Returns to what was bound before `begin`."""
    _current.reset(token)


@contextmanager
def working(span: Span | None, **fields: object) -> Generator[None]:
    """A request or message with these fields, redacted, and nothing of what was bound before."""
    token = begin(Work(span))
    try:
        bind(**fields)
        yield
    finally:
        end(token)
