"""The handler of every logger of the process: JSON into files, columns on the console, both written by threads."""

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress

from ..errors import type_name
from ..files import LineWriter, RotatingFile, Stream, occupy_standard_descriptors
from ..metrics.families import LOG_LINES_DROPPED
from ..metrics.process import LINES
from ..settings import TelemetrySettings
from .console import columns, is_coloured, is_terminal
from .folder import own_folder
from .lines import Line, LineFormatter, level_name

REPEAT_SECONDS = 60
MOST_REPEATS = 1000


class LineHandler(logging.Handler):
    """Formats a record once and passes the line to the files and the console, whose threads write it."""

    def __init__(self, settings: TelemetrySettings) -> None:
        super().__init__()
        occupy_standard_descriptors()
        self._formatter = LineFormatter(settings)
        # Two writers: a console that nobody reads must not hold up the files.
        self._to_console = LineWriter(settings.log_buffer_bytes, LOG_LINES_DROPPED.inc)
        self._to_files = LineWriter(settings.log_buffer_bytes, LOG_LINES_DROPPED.inc)
        # Where standard error was closed at the start, its descriptor is somebody else's by now.
        self._console = Stream(2) if sys.__stderr__ is not None else None
        self._coloured = is_coloured()
        self._shows_routine = is_terminal() or settings.environment == "development"
        self._combined: RotatingFile | None = None
        self._errors: RotatingFile | None = None
        self.addFilter(_Repeats())

    def open_files(self, settings: TelemetrySettings) -> None:
        """Raises `OSError` when `LOG_DIR` cannot be written."""
        size, kept = settings.log_file_bytes, settings.log_files_kept
        folder = own_folder(settings.log_dir)
        combined = RotatingFile(folder / "combined.log", size, kept)
        self._errors = RotatingFile(folder / "error.log", size, kept)
        self._combined = combined

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write([self._formatter.line_of(record)])
        except Exception as error:
            LOG_LINES_DROPPED.inc()
            with suppress(Exception):  # the report of `logging` itself would show what the record holds
                facts = {"reason": type_name(error)}
                self.write([Line(record.created, logging.WARNING, "a line cannot be written", record.name, facts)])

    def write(self, lines: Sequence[Line]) -> None:
        """Writes lines that need no redaction, several at once for less than one by one."""
        urgent = max([line.level for line in lines]) >= logging.WARNING
        if self._combined is not None:
            encoded = [self._encode(line) for line in lines]
            LINES.count([level_name(line.level) for line in lines])
            self._to_files.add(self._combined, b"".join(encoded), urgent)
            if urgent and self._errors is not None:
                errors = [each for line, each in zip(lines, encoded, strict=True) if line.level >= logging.ERROR]
                if errors:
                    self._to_files.add(self._errors, b"".join(errors), urgent)
        if self._console and (shown := [self._columns(line) for line in lines if self._is_shown(line)]):
            self._to_console.add(self._console, "\n".join([*shown, ""]).encode("utf-8", "replace"), urgent)

    def _encode(self, line: Line) -> bytes:
        """The line as JSON; nothing, and counted, if that is not possible: it must not cost the lines beside it."""
        try:
            return self._formatter.encode(line)
        except Exception:
            LOG_LINES_DROPPED.inc()
            return b""

    def _is_shown(self, line: Line) -> bool:
        is_left_out = line.is_routine and line.level < logging.WARNING and not self._shows_routine
        return not is_left_out or self._combined is None

    def _columns(self, line: Line) -> str:
        timestamp, level = self._formatter.format_time(line.created), level_name(line.level)
        return columns(timestamp, level, line.context, line.message, line.fields, coloured=self._coloured)

    def buffer(self) -> None:
        """From now on, threads write: an event loop is about to run."""
        self._to_files.buffer()
        self._to_console.buffer()

    def unbuffer(self) -> None:
        """Writes what is waiting; where no other event loop runs, from now on lines are written before the call returns."""
        self._to_files.unbuffer()
        self._to_console.unbuffer()

    def write_through(self) -> None:
        """Writes what is waiting; from now on lines are written before the call returns, whatever runs: the program ends."""
        self._to_files.write_through()
        self._to_console.write_through()

    def flush(self) -> None:
        self._to_files.flush()
        self._to_console.flush()


def write(lines: Sequence[Line]) -> None:
    """Writes lines of one context whose fields the caller has chosen and made safe; nothing that is bound is added.

    This skips the LogRecord and the search for secrets, and so costs a small part of `Logger.info`: for the one line
    that every request or message leaves. A line that `LOG_LEVEL` does not let through is left out.
    """
    is_wanted = logging.getLogger(lines[0].context).isEnabledFor if lines else bool
    if wanted := [line for line in lines if is_wanted(line.level)]:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, LineHandler):
                handler.write(wanted)


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
