"""What is known about the request or message being handled, added to every log line written meanwhile."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import Token
from typing import cast

from opentelemetry import context as otel
from opentelemetry.trace import INVALID_SPAN, Span, set_span_in_context

from .redaction import Budget, plain_key, redact, to_string
from .traces.spans import identity_of

# What every line has; any other field of such a name gets an underscore behind it.
OWN_FIELDS = frozenset(("timestamp", "level", "service", "environment", "version", "instance_id", "message", "context"))
# What is measured of a request or message: nothing else is bound under these names.
MEASURED = frozenset(("http", "error", "duration_ms", "trace_id", "span_id"))
LONGEST_CODE = 64
MOST_BOUND = 32
OF_ONE_FIELD = (32, 1024)
"""Values and characters that a bound field may have: each is in every line."""


Scope = tuple[Span, dict[str, object]]
"""One request or message: its span, and the fields bound to it."""

# Both are in OpenTelemetry's context, so one step enters and leaves both. Its key for the span has no public name.
_SCOPE = otel.create_key("observability-scope")
_SPAN = next(iter(set_span_in_context(INVALID_SPAN, otel.Context())))

# Traces are searched by user, so `user_id` becomes an attribute too; other fields appear only in lines.
_on_spans: dict[str, str] = {"user_id": "user.id"}


def show_on_spans(attributes: Mapping[str, str]) -> None:
    """Makes fields of these names attributes of the span as well: `show_on_spans({"tenant_id": "tenant.id"})`."""
    _on_spans.update(attributes)


def bind(**fields: object) -> None:
    """Adds `fields` to every later log line of this request or message; None removes one.

    `user_id`, and what `show_on_spans` names, also become attributes of its span. The fields belong to the request as a
    whole: what an async or a threaded dependency binds is seen by the endpoint and by the access line. Outside of any
    request or message they hold for the current task. Never raises; a request has room for 32 fields of 1,024
    characters, and what exceeds that is left out.
    """
    scope = _current()
    if scope is None:
        scope = cast("Scope", (INVALID_SPAN, {}))
        otel.attach(otel.set_value(_SCOPE, scope))
    span, bound = scope
    for given, value in fields.items():
        name = plain_key(given)
        stored = f"{name}_" if name in MEASURED else own_name(name)
        if value is None:
            bound.pop(stored, None)
        elif stored in bound or len(bound) < MOST_BOUND:
            bound[stored] = redact(name, value, Budget(*OF_ONE_FIELD))
            if name in _on_spans:
                span.set_attribute(_on_spans[name], to_string(bound[stored]))


def explain(code: str, message: str | None = None, /, **facts: object) -> None:
    """Says why the current request is refused: `explain("budget-exceeded", "Only 20.00 is left.", available="20.00")`.

    `code` is the `error.code` of the request's line, the `error.type` of its span and the `type` in
    `http_problems_total`, so it must be one of few: a name in the program, nothing of the request. `message` and `facts`
    stand in the line and on the span. It has an effect if the status of the answer is 400 or more; the last call counts.
    """
    if scope := _current():
        known = {name: value for name, value in facts.items() if value is not None}
        why = {"code": code[:LONGEST_CODE], "message": message, "facts": known}
        scope[1]["error"] = redact("error", {name: value for name, value in why.items() if value})


def own_name(name: str) -> str:
    """The name under which a field appears in a line."""
    return f"{name}_" if name in OWN_FIELDS else name


def bound() -> dict[str, object]:
    """The fields bound to the current request or message (not a copy: do not change it).

    Without what `explain` has said, which only the line of the request tells.
    """
    scope = _current()
    if scope is None:
        return {}
    fields = scope[1]
    return fields if "error" not in fields else {name: value for name, value in fields.items() if name != "error"}


def _current() -> Scope | None:
    return cast("Scope | None", otel.get_value(_SCOPE))


def begin(span: Span, fields: dict[str, object], parent: otel.Context) -> Token[otel.Context]:
    """Begins a request or message in the context of its parent, with these fields and nothing that was bound before."""
    return otel.attach(otel.Context({**parent, _SPAN: span, _SCOPE: (span, fields)}))


def end(token: Token[otel.Context]) -> None:
    """Returns to the context before `begin`."""
    otel.detach(token)


@contextmanager
def working(span: Span, parent: otel.Context | None = None, **fields: object) -> Generator[None]:
    """A request or message with this span and these fields, redacted, in the current context if no parent's is given."""
    token = begin(span, {}, otel.get_current() if parent is None else parent)
    try:
        bind(**fields)
        yield
    finally:
        end(token)


def ids_of(span: Span) -> dict[str, str]:
    """The fields by which a line names its span; none outside of a trace."""
    trace_id, span_id, _ = identity_of(span)
    return ids(trace_id, span_id)


def ids(trace_id: int, span_id: int) -> dict[str, str]:
    """The same for a span's ids; an id of zero is none."""
    if not trace_id:
        return {}
    # The API's own way of writing them, `format(id, "032x")`, takes half as long again.
    return {"trace_id": trace_id.to_bytes(16, "big").hex(), "span_id": span_id.to_bytes(8, "big").hex()}
