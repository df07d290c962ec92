"""What is written, and where: by the level, once a minute for what repeats itself, and in anybody's handler."""

import io
import json
import logging
from datetime import UTC, time

from prometheus_client import REGISTRY

from libs.observability import TelemetrySettings, get_logger
from libs.observability.logs.handler import write
from libs.observability.logs.lines import Line, LineFormatter

log = get_logger("UserController")


def test_the_telemetry_libraries_repeat_themselves_once_a_minute(lines):
    exporter = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    for attempt in range(5):
        exporter.warning("Transient error, retrying in %ds", attempt)
    logging.getLogger("httpx").info("HTTP Request: GET http://x/?token=1")
    assert [line["message"] for line in lines()] == ["Transient error, retrying in 0s"]


def test_lines_below_log_level_are_not_written(configure_lines):
    read = configure_lines(log_level="warn")
    log.info("quiet")
    log.debug("quieter")
    log.warning("heard")
    assert [line["message"] for line in read()] == ["heard"]


def test_the_formatter_in_anybodys_handler_makes_the_line_of_the_files(configure_lines):
    read, shown = configure_lines(), io.StringIO()
    other = logging.StreamHandler(shown)
    other.setFormatter(LineFormatter(TelemetrySettings(service_name="test-service", service_version="1.2.3")))
    logging.getLogger().addHandler(other)
    try:
        get_logger("app").info("said twice", amount="1.00")
    finally:
        logging.getLogger().removeHandler(other)
    assert [json.loads(shown.getvalue())] == read()


def test_a_time_with_a_zone_and_a_line_that_is_no_json_cost_no_other_line(lines):
    get_logger("clock").info("a time", at=time(10, tzinfo=UTC))
    before = REGISTRY.get_sample_value("log_lines_dropped_total")
    write([Line(1.0, 20, message, "clock", {"value": value}) for message, value in (("a", 1), ("b", 2**80), ("c", 3))])
    assert [(line["message"], line.get("at")) for line in lines()] == [
        ("a time", "10:00:00+00:00"),
        ("a", None),
        ("c", None),
    ]
    assert REGISTRY.get_sample_value("log_lines_dropped_total") == before + 1


def test_a_line_that_cannot_be_written_is_told_without_its_values(capfd, lines, monkeypatch):
    before = REGISTRY.get_sample_value("log_lines_dropped_total")
    with monkeypatch.context() as broken:
        broken.setattr(LineFormatter, "line_of", lambda *_: 1 / 0)
        logging.getLogger("library").error("password of %s", "hunter2")
    [line] = lines()
    assert (line["message"], line["context"]) == ("a line cannot be written", "library")
    assert line["reason"] == "ZeroDivisionError"
    assert "hunter2" not in "".join(capfd.readouterr())
    assert REGISTRY.get_sample_value("log_lines_dropped_total") == before + 1
