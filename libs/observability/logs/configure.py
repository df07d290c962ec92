"""Makes every logger of the process, uvicorn's and the warnings' too, write our lines."""

import logging
import sys
import threading
from types import TracebackType

from ..settings import TelemetrySettings
from .handler import LineHandler
from .logger import get_logger

# They write a line, with its URL, for every call they make. Their warnings are enough.
TALKATIVE = ("opentelemetry", "httpx", "httpx2", "httpcore", "httpcore2", "urllib3", "requests")


def configure(settings: TelemetrySettings) -> LineHandler:
    """Replaces an earlier configuration; lines are written from `LOG_LEVEL` on."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        # Replaced: our own of an earlier call, and the console handler of a basicConfig. Kept: any other.
        if type(handler) in (LineHandler, logging.StreamHandler):
            root.removeHandler(handler)
            handler.close()
    ours = LineHandler(settings)
    root.addHandler(ours)
    root.setLevel(settings.log_level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    take_over_servers()
    _report_uncaught()
    logging.captureWarnings(True)
    try:
        ours.open_files(settings)
    except OSError as error:
        get_logger(__name__).warning(
            "LOG_DIR cannot be written, logging to the console only", log_dir=settings.log_dir, reason=str(error)
        )
    return ours


def take_over_servers() -> None:
    """Makes the loggers of uvicorn and gunicorn write our lines, also when the server has configured them since."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access", "gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # The middleware writes the one line of a request; without any handler uvicorn does not even make its own.
        logger.propagate = not name.endswith(".access")


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
