"""Every logger of the process takes our form, and what is uncaught becomes a line."""

import io
import logging
import sys
import warnings


def test_warnings_and_uvicorn_take_the_same_form(lines):
    logging.getLogger("uvicorn").handlers.append(logging.StreamHandler(io.StringIO()))
    # pytest catches the warnings of each test, and an earlier test may have configured the logging already.
    for catch in (False, True):
        logging.captureWarnings(catch)
    warnings.resetwarnings()
    warnings.warn("old function", DeprecationWarning, stacklevel=1)
    logging.getLogger("uvicorn.error").info("Started [%d]", 5, extra={"color_message": "Started [\x1b[36m%d\x1b[0m]"})
    logging.getLogger("uvicorn.access").info('127.0.0.1 - "GET / HTTP/1.1" 200')
    warning, started = lines()
    assert (warning["context"], "old function" in warning["message"]) == ("py.warnings", True)
    assert (started["context"], started["message"]) == ("uvicorn.error", "Started [5]")
    assert "color_message" not in started
    logging.getLogger("uvicorn").handlers.clear()


def test_an_uncaught_exception_is_a_line(lines):
    try:
        raise RuntimeError("nobody cares")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert (lines()[0]["level"], lines()[0]["error"]["message"]) == ("critical", "nobody cares")


def test_a_folder_that_cannot_be_written_is_one_warning(run, tmp_path):
    (tmp_path / "file").touch()
    result = run(
        "from libs.observability import get_logger, start\nstart()\nget_logger('app').info('goes on')",
        LOG_DIR=str(tmp_path / "file" / "logs"),
        OTEL_TRACES_EXPORTER="none",
    )
    assert result.returncode == 0
    assert result.stderr.count("LOG_DIR cannot be written") == 1
    assert "goes on" in result.stderr
    assert "Traceback" not in result.stderr
