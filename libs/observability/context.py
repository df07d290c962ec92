"""What is known about the request or message being handled, added to every log line written meanwhile."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field

from opentelemetry.trace import Span

from libs.observability.redaction import redact

# Who is acting is worth finding traces by; everything else stays in the log lines.
SPAN_ATTRIBUTES = {"tenant_id": "tenant.id", "user_id": "user.id"}


@dataclass(slots=True)
class Work:
    """One request or message: the fields bound to it, and its span."""

    span: Span | None = None
    fields: dict[str, object] = field(default_factory=dict[str, object])


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
        if value is None:
            work.fields.pop(name, None)
            continue
        work.fields[name] = redact(name, value)
        if work.span is not None and name in SPAN_ATTRIBUTES:
            work.span.set_attribute(SPAN_ATTRIBUTES[name], str(value))


def bound() -> dict[str, object]:
    """The fields bound to the current request or message (not a copy: do not change it)."""
    work = _current.get()
    return {} if work is None else work.fields


def begin(span: Span | None, fields: dict[str, object]) -> Token[Work | None]:
    """Begins a request or message with these fields, which need no redaction, and nothing of what was bound before."""
    return _current.set(Work(span, fields))


def end(token: Token[Work | None]) -> None:
    """Returns to what was bound before `begin`."""
    _current.reset(token)


@contextmanager
def working(span: Span | None, **fields: object) -> Generator[None]:
    """A request or message with these fields, redacted, and nothing of what was bound before."""
    token = begin(span, {})
    try:
        bind(**fields)
        yield
    finally:
        end(token)
