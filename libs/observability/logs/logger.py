"""The logger that modules and components write with."""

import logging
import sys
from typing import cast

from ..errors import traceback_of


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
        self._log(logging.ERROR, message, context, sys.exception() if error is None else error, fields)

    def critical(self, message: str, /, *, context: str | None = None, error: object = None, **fields: object) -> None:
        """The process cannot go on."""
        self._log(logging.CRITICAL, message, context, error, fields)

    def is_enabled_for(self, level: int) -> bool:
        """Whether `LOG_LEVEL` lets lines of this level (a number of the standard library) through."""
        return self._logger.isEnabledFor(level)

    def _log(self, level: int, message: str, context: str | None, error: object, fields: dict[str, object]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        exc_info = None
        # By `type`, and as the three values: `logging` would ask an exception whether it is true.
        if issubclass(type(error), BaseException):
            exception = cast("BaseException", error)
            exc_info = (type(exception), exception, traceback_of(exception))
        elif error is not None:
            fields["error"] = error
        # One attribute holds them all, so that no field can collide with an attribute of the record.
        extra = {"_fields": fields, "_context": context}
        self._logger.log(level, message, exc_info=exc_info, extra=extra, stacklevel=3)


def get_logger(name: str) -> Logger:
    """The logger of a module (`get_logger(__name__)`) or component."""
    return Logger(name)
