"""One line a record, for every logger of the process: JSON into files, columns on the console."""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from libs.observability.console import columns, is_coloured
from libs.observability.lines import LineFormatter, level_name
from libs.observability.log_files import LineWriter, RotatingFile, Stream
from libs.observability.metrics import LOG_LINES_DROPPED
from libs.observability.settings import TelemetrySettings

# They write a line, with its URL, for every call they make. Their warnings are enough.
TALKATIVE: Final = ("opentelemetry", "httpx", "httpx2", "httpcore", "httpcore2", "urllib3", "requests")
REPEAT_SECONDS: Final = 60
MOST_REPEATS: Final = 1000


Rendered = tuple[int, bytes, str]
"""A line as it will be written: its level, for the files with its newline, for the console without."""


class Logger:
    """Writes messages that never vary, with the facts as fields: `log.info("allocation made", amount=str(amount))`.

    `context` names the component that speaks when it is not the logger's own name. `error` takes an exception and
    adds its type, message and stack. Any other keyword is a field, whatever its name.
    """

    __slots__ = ("_logger", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._logger = logging.getLogger(name)

    def debug(self, message: str, /, *, context: str | None = None, error: object = None, **fields: object) -> None:
        """For whoever is looking for a fault; off by default."""
        self._log(logging.DEBUG, message, context, error, fields)

    def info(self, message: str, /, *, context: str | None = None, error: object = None, **fields: object) -> None:
        """Something happened as it should."""
        self._log(logging.INFO, message, context, error, fields)

    def warning(self, message: str, /, *, context: str | None = None, error: object = None, **fields: object) -> None:
        """Something is wrong and was coped with."""
        self._log(logging.WARNING, message, context, error, fields)

    warn = warning

    def error(self, message: str, /, *, context: str | None = None, error: object = None, **fields: object) -> None:
        """Something failed; goes to `error.log` as well."""
        self._log(logging.ERROR, message, context, error, fields)

    def exception(self, message: str, /, *, context: str | None = None, error: object = None, **fields: object) -> None:
        """An error line with the exception being handled."""
        self._log(logging.ERROR, message, context, error or sys.exception(), fields)

    def critical(self, message: str, /, *, context: str | None = None, error: object = None, **fields: object) -> None:
        """The process cannot go on."""
        self._log(logging.CRITICAL, message, context, error, fields)

    def is_enabled_for(self, level: int) -> bool:
        """Whether `LOG_LEVEL` lets lines of this level (a number of the standard library) through."""
        return self._logger.isEnabledFor(level)

    def _log(self, level: int, message: str, context: str | None, error: object, fields: dict[str, object]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        exception = error if isinstance(error, BaseException) else None
        if error is not None and exception is None:
            fields["error"] = error
        # One attribute holds them all, so that no field can collide with an attribute of the record.
        extra = {"_fields": fields, "_context": context}
        self._logger.log(level, message, exc_info=exception, extra=extra, stacklevel=3)


def get_logger(name: str) -> Logger:
    """The logger of a module (`get_logger(__name__)`) or component."""
    return Logger(name)


class LineHandler(logging.Handler):
    """Formats a record once and passes the line to the files and the console, whose threads write it."""

    def __init__(self, settings: TelemetrySettings) -> None:
        super().__init__()
        self.lines = LineFormatter(settings)
        # Two writers: a console that nobody reads must not hold up the files.
        self._to_console = LineWriter(settings.log_buffer_bytes, LOG_LINES_DROPPED.inc)
        self._to_files = LineWriter(settings.log_buffer_bytes, LOG_LINES_DROPPED.inc)
        self._console = Stream(2)
        self._coloured = is_coloured()
        self._combined: RotatingFile | None = None
        self._errors: RotatingFile | None = None
        self.addFilter(_Repeats())

    def open_files(self, settings: TelemetrySettings) -> None:
        """Raises `OSError` when `LOG_DIR` cannot be written."""
        size, kept = settings.log_file_bytes, settings.log_files_kept
        combined = RotatingFile(settings.log_dir / "combined.log", size, kept)
        self._errors = RotatingFile(settings.log_dir / "error.log", size, kept)
        self._combined = combined

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.deliver([self.render(*self.lines.parts_of(record))])
        except Exception:
            LOG_LINES_DROPPED.inc()
            self.handleError(record)

    def render(self, created: float, level: int, message: str, context: str, fields: dict[str, object]) -> Rendered:
        """A line whose values need no redaction."""
        timestamp, name = self.lines.written(created), level_name(level)
        shown = columns(timestamp, name, context, message, fields, coloured=self._coloured)
        return level, self.lines.encode(timestamp, name, message, context, fields), shown

    def deliver(self, lines: Sequence[Rendered]) -> None:
        """Writes lines, several at once for less than one by one."""
        urgent = max([level for level, _, _ in lines]) >= logging.WARNING
        if self._combined is not None:
            self._to_files.add(self._combined, b"".join([line for _, line, _ in lines]), urgent)
        if self._errors is not None and (errors := [line for level, line, _ in lines if level >= logging.ERROR]):
            self._to_files.add(self._errors, b"".join(errors), urgent)
        shown = "\n".join([*[shown for _, _, shown in lines], ""])
        self._to_console.add(self._console, shown.encode("utf-8", "replace"), urgent)

    def buffer(self) -> None:
        """From now on, threads write: an event loop is about to run."""
        self._to_files.buffer()
        self._to_console.buffer()

    def write_through(self) -> None:
        """Writes what is waiting; from now on each line is written before the call returns."""
        self._to_files.write_through()
        self._to_console.write_through()

    def flush(self) -> None:
        self._to_files.flush()
        self._to_console.flush()


class _Repeats(logging.Filter):
    """Lets a warning of the telemetry libraries through once a minute: a dead collector must not fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry"):
            return True
        key = (record.name, str(record.msg))
        if record.created - self._seen.get(key, 0.0) < REPEAT_SECONDS:
            return False
        if len(self._seen) >= MOST_REPEATS:
            self._seen.clear()
        self._seen[key] = record.created
        return True


_handler: LineHandler | None = None


def configure(settings: TelemetrySettings) -> LineHandler:
    """Makes every logger of the process write our lines, from `LOG_LEVEL` on; replaces an earlier configuration."""
    global _handler
    root = logging.getLogger()
    for handler in list(root.handlers):
        # Ours of before, and the console handler of a basicConfig; a test's or an operator's own stays.
        if type(handler) in (LineHandler, logging.StreamHandler):
            root.removeHandler(handler)
            handler.close()
    _handler = LineHandler(settings)
    root.addHandler(_handler)
    root.setLevel(settings.log_level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    _take_over_uvicorn()
    _report_uncaught()
    logging.captureWarnings(True)
    try:
        _handler.open_files(settings)
    except OSError as error:
        get_logger(__name__).warning(
            "LOG_DIR cannot be written, logging to the console only", log_dir=settings.log_dir, reason=str(error)
        )
    return _handler


def render(
    logger: Logger, level: int, message: str, fields: dict[str, object], created: float | None = None
) -> Rendered | None:
    """A line for `write` whose fields the caller has chosen and made safe; nothing that is bound is added.

    It skips the LogRecord and the search for secrets, and so costs a small part of `Logger.info`: for the one line
    that every request or message leaves. `created` is in seconds since 1970, now if it is not given. None where
    `LOG_LEVEL` lets no line of this level through.
    """
    if _handler is None or not logger.is_enabled_for(level):
        return None
    return _handler.render(time.time() if created is None else created, level, message, logger.name, fields)


def write(*lines: Rendered | None) -> None:
    """Writes what `render` has made, in this order."""
    if _handler is not None and (made := [line for line in lines if line is not None]):
        _handler.deliver(made)


def _take_over_uvicorn() -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The middleware writes the one line of a request; without any handler uvicorn does not even make its own.
    logging.getLogger("uvicorn.access").propagate = False


def _report_uncaught() -> None:
    log = get_logger("uncaught")

    def report(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            log.critical("uncaught exception", error=error)
        else:
            sys.__excepthook__(kind, error, stack)

    def report_thread(event: threading.ExceptHookArgs) -> None:
        if event.exc_value is not None and isinstance(event.exc_value, Exception):
            log.error(
                "uncaught exception in a thread", error=event.exc_value, thread_name=event.thread and event.thread.name
            )

    sys.excepthook = report
    threading.excepthook = report_thread
