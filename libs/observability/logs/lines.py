"""A log line: which fields it has, in which order, and how it becomes JSON."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import orjson
from opentelemetry.trace import get_current_span
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter, orjson_default

from ..context import bound, ids_of, own_name
from ..errors import describe
from ..redaction import plain_key, redact, redact_string
from ..settings import LEVELS, TelemetrySettings

# Attributes of a LogRecord that are not fields; uvicorn repeats its message with colours in it.
NOT_FIELDS: Final = frozenset({*RESERVED_ATTRS, "taskName", "color_message"})


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
            fields = {"level": level_name(level), **static, "message": message, "context": context}
            return orjson.dumps(fields)[1:-1].decode()

        self._head = head

    def format(self, record: logging.LogRecord) -> str:
        return self.encode(self.line_of(record)).decode().rstrip()

    def line_of(self, record: logging.LogRecord) -> Line:
        """The line of a record, without secrets."""
        values = record.__dict__
        fields = {key: value for key, value in values.items() if key not in NOT_FIELDS and not key.startswith("_")}
        fields.update(cast("Mapping[str, object]", values.get("_fields") or {}))
        if record.stack_info:
            fields["stack_info"] = record.stack_info
        plain = ids_of(get_current_span()) | bound()
        plain |= {own_name(key := plain_key(each)): redact(key, value) for each, value in fields.items()}
        _keep_objects(plain)
        if record.exc_info and record.exc_info[1]:
            plain["error"] = describe(record.exc_info[1])
        context = redact_string(str(values.get("_context") or record.name))
        return Line(record.created, record.levelno, redact_string(_message(record)), context, plain)

    def encode(self, line: Line) -> bytes:
        """The line as JSON, with its newline."""
        head = f'{{"timestamp":"{self.format_time(line.created)}",{self._head(line.level, line.message, line.context)}'
        if not line.fields:
            return head.encode() + b"}\n"
        fields = orjson.dumps(line.fields, orjson_default, orjson.OPT_APPEND_NEWLINE)
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


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit are a library's fault, and no reason to lose the line
        return f"{record.msg} {record.args!r}"


def _keep_objects(fields: dict[str, object]) -> None:
    """`http` and `error` are objects in the index: a free field of that name must not be anything else."""
    if "http" in fields and not isinstance(fields["http"], dict):
        fields["http_"] = fields.pop("http")
    if "error" in fields and not isinstance(fields["error"], dict):
        fields["error"] = {"message": str(fields["error"])}
