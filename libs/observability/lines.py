"""A log record as a line: which fields it has, in which order, and how they become JSON."""

import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, cast

import orjson
from opentelemetry.trace import get_current_span
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter, orjson_default

from libs.observability.context import bound, ids_of, own_name
from libs.observability.errors import describe
from libs.observability.redaction import plain_key, redact, redact_text
from libs.observability.settings import LEVELS, TelemetrySettings

# Attributes of a LogRecord that are not fields; uvicorn repeats its message with colours in it.
NOT_FIELDS: Final = frozenset({*RESERVED_ATTRS, "taskName", "color_message"})


class LineFormatter(OrjsonFormatter):
    """python-json-logger's formatter with our fields, in our order."""

    def __init__(self, settings: TelemetrySettings) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._static = {
            "service": settings.service_name,
            "environment": settings.environment,
            "version": settings.service_version,
        }
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        created, level, message, context, fields = self.parts_of(record)
        return self.encode(self.written(created), level_name(level), message, context, fields).decode().rstrip()

    def parts_of(self, record: logging.LogRecord) -> tuple[float, int, str, str, dict[str, object]]:
        """When, level, message, context and fields of a record, without secrets."""
        values = record.__dict__
        fields = {key: value for key, value in values.items() if key not in NOT_FIELDS and not key.startswith("_")}
        fields.update(cast("Mapping[str, object]", values.get("_fields") or {}))
        if record.stack_info:
            fields["stack_info"] = record.stack_info
        plain = ids_of(get_current_span().get_span_context()) | bound()
        plain |= {own_name(key := plain_key(each)): redact(key, value) for each, value in fields.items()}
        _keep_objects(plain)
        if record.exc_info and record.exc_info[1]:
            plain["error"] = describe(record.exc_info[1])
        context = redact_text(str(values.get("_context") or record.name))
        return record.created, record.levelno, redact_text(_message(record)), context, plain

    def encode(self, timestamp: str, level: str, message: str, context: str, fields: Mapping[str, object]) -> bytes:
        """A line of values that need no redaction, under names of their own, with its newline."""
        line = {
            "timestamp": timestamp,
            "level": level,
            **self._static,
            "message": message,
            "context": context,
            **fields,
        }
        return orjson.dumps(line, orjson_default, orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)

    def written(self, created: float) -> str:
        """Seconds since 1970 as `2026-11-24T08:15:00.123456Z`."""
        second = int(created)
        # The pair is read once: another thread may be replacing it.
        cached, text = self._second
        if cached != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = (second, text)
        return f"{text}.{int((created - second) * 1_000_000):06d}Z"


@lru_cache(maxsize=64)
def level_name(level: int) -> str:
    """One of the five names, also for the levels that libraries invent."""
    return LEVELS[min(max(level // 10, 1), 5) - 1]


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: a library's fault, and no reason to lose the line
        return f"{record.msg} {record.args!r}"


def _keep_objects(fields: dict[str, object]) -> None:
    """`http` and `error` are objects in the index: a free field of that name must not be anything else."""
    if "http" in fields and not isinstance(fields["http"], dict):
        fields["http_"] = fields.pop("http")
    if "error" in fields and not isinstance(fields["error"], dict):
        fields["error"] = {"message": str(fields["error"])}
