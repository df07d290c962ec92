"""A log line: which fields it has, in which order, and how it becomes JSON."""

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from numbers import Number
from typing import Any, Final, cast

import orjson
from opentelemetry.trace import get_current_span
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter, orjson_default

from ..context import bound, ids_of, own_name
from ..errors import describe
from ..forks import in_child
from ..instance import instance_id
from ..redaction import HIDDEN, LEFT_OUT, OVERLAP, Budget, is_secret, redact, to_string, without_paired
from ..settings import LEVELS, TelemetrySettings

# Attributes of a LogRecord that are not fields; uvicorn repeats its message with colours in it.
NOT_FIELDS: Final = frozenset({*RESERVED_ATTRS, "taskName", "color_message"})
LONGEST_CONTEXT, LONGEST_MESSAGE, LONGEST_ARGUMENTS = 256, 2048, 768
LONGEST_FIELDS = 65_536
"""Bytes of all fields of a line: control characters and quotes take more of them than characters."""
LONGEST_CACHED = 256
"""Of a message: longer ones are no messages of ours, and vary."""


@dataclass(slots=True)
class Line:
    """One line. Its values are redacted already, and none of its fields has a name that every line uses."""

    created: float
    """Seconds since 1970."""
    level: int
    message: str
    context: str
    fields: dict[str, Any]
    is_routine: bool = False
    """Whether every request or message leaves such a line, so that a console nobody watches can do without it."""


class LineFormatter(OrjsonFormatter):
    """python-json-logger's formatter with our fields, in our order."""

    def __init__(self, settings: TelemetrySettings) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        static = {
            "service": settings.service_name,
            "environment": settings.environment,
            "version": settings.service_version,
        }
        self._second = (0, "")

        # Messages of ours do not vary, so that few of them make up most of the lines.
        @lru_cache(maxsize=512)
        def head(level: int, message: str, context: str) -> str:
            """What stands between the time and the fields."""
            fields = {
                "level": level_name(level),
                **static,
                "instance_id": instance_id(),
                "message": message,
                "context": context,
            }
            return orjson.dumps(fields)[1:-1].decode()

        self._head, self._long_head = head, head.__wrapped__
        in_child(head.cache_clear)  # it is another instance

    def format(self, record: logging.LogRecord) -> str:
        return self.encode(self.line_of(record)).decode().rstrip()

    def line_of(self, record: logging.LogRecord) -> Line:
        """The line of a record, without secrets."""
        values = record.__dict__
        fields = {key: value for key, value in values.items() if key not in NOT_FIELDS and not key.startswith("_")}
        if ours := cast("dict[str, object] | None", values.get("_fields")):
            fields.update(ours)
        if record.stack_info is not None:
            fields["stack_info"] = record.stack_info
        # What matters most is the first to spend it: the message, the exception, then the fields.
        budget = Budget()
        named = values.get("_context")
        context = budget.string(to_string(record.name if named is None else named), LONGEST_CONTEXT)
        message = budget.string(_message(record, budget), LONGEST_MESSAGE)
        error = record.exc_info[1] if record.exc_info else None
        described = None if error is None else describe(error, budget)
        own: dict[str, object] = {}
        for each, value in fields.items():
            if budget.is_spent():
                break
            key = budget.key(each)
            own[own_name(key)] = redact(key, value, budget)
        plain = ids_of(get_current_span()) | bound() | without_paired(own, budget)
        _keep_objects(plain)
        if described is not None:
            plain["error"] = described
        return Line(record.created, record.levelno, message, context, plain)

    def encode(self, line: Line) -> bytes:
        """The line as JSON, with its newline."""
        make = self._head if len(line.message) <= LONGEST_CACHED else self._long_head
        head = f'{{"timestamp":"{self.format_time(line.created)}",{make(line.level, line.message, line.context)}'
        if not line.fields:
            return head.encode() + b"}\n"
        fields = orjson.dumps(line.fields, orjson_default, orjson.OPT_APPEND_NEWLINE)
        if len(fields) > LONGEST_FIELDS:
            fields = orjson.dumps(_small(line.fields), orjson_default, orjson.OPT_APPEND_NEWLINE)
        return head.encode() + b"," + fields[1:]

    def format_time(self, created: float) -> str:
        """Seconds since 1970 as `2026-11-24T08:15:00.123456Z`."""
        second = int(created)
        # The pair is read once: another thread may be replacing it.
        cached, formatted = self._second
        if cached != second:
            formatted = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = (second, formatted)
        # The million in front keeps the zeros, at half the price of a format.
        return f"{formatted}{str(int((created - second) * 1_000_000) + 1_000_000)[1:]}Z"


@lru_cache(maxsize=64)
def level_name(level: int) -> str:
    """One of the five names, also for the levels that libraries invent."""
    return LEVELS[min(max(level // 10, 1), 5) - 1]


def _small(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that fit, the smallest first: of an `error` its message rather than its stack."""
    error = fields.get("error")
    if isinstance(error, dict):
        fields = {**fields, "error": {**cast("dict[str, Any]", error), "stack": LEFT_OUT}}
    sizes = {name: len(orjson.dumps({name: value}, orjson_default)) for name, value in fields.items()}
    room = LONGEST_FIELDS
    kept: dict[str, Any] = {}
    for name in sorted(sizes, key=lambda each: sizes[each]):
        room -= sizes[name]
        if room < 0:
            break
        kept[name] = fields[name]
    return kept


class _Argument:
    """An argument of a message, without secrets and bounded in whatever form the message asks for it."""

    def __init__(self, value: object, budget: Budget) -> None:
        self._value, self._budget = value, budget
        self._shown: str | None = None

    def __str__(self) -> str:
        if self._shown is None:
            self._shown = to_string(redact("", self._value, self._budget))
        return self._shown

    __repr__ = __str__


def _message(record: logging.LogRecord, budget: Budget) -> str:
    template, args = to_string(record.msg), cast("object", record.args)
    if not args:
        return template
    budget = budget.part(LONGEST_ARGUMENTS)
    if type(args) is dict:
        named = cast("dict[object, object]", args)
        shown: object = {
            key: HIDDEN if is_secret(to_string(key)) else _argument(value, budget) for key, value in named.items()
        }
    else:
        shown = tuple([_argument(value, budget) for value in cast("tuple[object, ...]", args)])
    try:
        return template % shown
    except Exception:  # arguments that do not fit are a library's fault, and no reason to lose the line
        return f"{template[:LONGEST_MESSAGE]} {redact('', shown, budget)}"


def _argument(value: object, budget: Budget) -> object:
    """Numbers and strings as they are, since places like `%d` and `%-10s` need them; anything else as an `_Argument`."""
    if type(value) is str:
        return value[: LONGEST_MESSAGE + OVERLAP]  # the message is searched as a whole
    return value if issubclass(type(value), Number) else _Argument(value, budget)


def _keep_objects(fields: dict[str, object]) -> None:
    """`http` and `error` are objects in the index: a free field of that name must not be anything else."""
    if "http" in fields and not isinstance(fields["http"], dict):
        fields["http_"] = fields.pop("http")
    if "error" in fields and not isinstance(fields["error"], dict):
        fields["error"] = {"message": str(fields["error"])}
