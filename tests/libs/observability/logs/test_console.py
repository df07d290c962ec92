"""The console shows columns to people, and leaves routine out where nobody looks."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest

from libs.observability.logs.console import columns, is_coloured
from tests.fixtures.telemetry import read_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_console_shows_why_a_request_was_refused():
    why = {"code": "budget-exceeded", "message": "Only 20.00 is left.", "facts": {"available": "20.00"}}
    shown = columns("2026-11-24T08:15:00.123456Z", "info", "http", "request handled", {"error": why}, coloured=False)
    assert shown.endswith("request handled  budget-exceeded: Only 20.00 is left. available=20.00")


def test_the_console_shows_columns_and_colour_only_on_a_terminal(monkeypatch):
    head = ("2026-11-24T08:15:00.123456Z", "error", "http", "request handled")
    fields = {
        "http": {"method": "GET", "route": "/x/{id}", "path": "/x/1", "status_code": 500, "client_ip": "::1"},
        "duration_ms": 1.5,
        "error": {"type": "ValueError", "message": "no", "stack": "Traceback\n  here\n"},
        "trace_id": "4bf9",
        "note": "forged\n08:15:00.999 \x1b[2J",
    }
    plain = columns(*head, fields, coloured=False)
    first, *stack = plain.splitlines()
    assert first == (
        "08:15:00.123 error    http                         request handled  GET /x/1 500 1.5 ms ValueError: no "
        "trace_id=4bf9 note=forged\\x0a08:15:00.999 \\x1b[2J"
    )
    assert stack == ["    Traceback", "      here"]
    coloured = columns(*head, fields, coloured=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert "\x1b[31m" in coloured

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "__stderr__", Terminal())
    assert is_coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    assert not is_coloured()


PROGRAM = """
from fastapi import FastAPI
from fastapi.testclient import TestClient
from libs.observability import get_logger, instrument
from libs.observability.messaging import EventCounters, Message, processing
from prometheus_client import Counter, Histogram

kinds = {"published": Counter, "consumed": Counter, "failed": Counter, "age": Histogram, "handling": Histogram}
counters = EventCounters(*(kind(f"events_{what}", what, ("event_type",)) for what, kind in kinds.items()))
message = Message("e-1", "tenant.created.v1", "tenant-service", 0.0, "http", "budget:tenant.created.v1")
app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

@app.get("/fine")
def fine() -> None:
    get_logger("app").info("something happened")

@app.get("/broken")
def broken() -> None:
    raise ValueError("no")

instrument(app)
with TestClient(app, raise_server_exceptions=False) as client:
    client.get("/fine")
    client.get("/broken")
    with processing(message, {}, counters):
        pass
"""
ROUTINE = ["GET /fine 200", "event consumed"]
ALWAYS = ["something happened", "GET /broken 500"]


def shown(console: str) -> list[str]:
    """Which of the lines are on the console."""
    return [text for text in (*ROUTINE, *ALWAYS) if text in console]


def test_routine_is_left_out_of_a_console_that_nobody_watches_and_is_in_the_files(run, tmp_path):
    result = run(PROGRAM, NODE_ENV="production", OTEL_TRACES_EXPORTER="none")
    assert result.returncode == 0, result.stderr
    assert shown(result.stderr) == ALWAYS
    messages = [line["message"] for line in read_lines(tmp_path / "logs")]
    assert [messages.count(message) for message in ("request handled", "event consumed")] == [2, 1]


@pytest.mark.parametrize("given", [{"NODE_ENV": "development"}, {}])
def test_in_development_the_console_shows_routine_too(run, given):
    assert shown(run(PROGRAM, OTEL_TRACES_EXPORTER="none", **given).stderr) == [*ROUTINE, *ALWAYS]


def test_where_there_are_no_files_the_console_shows_everything(run, tmp_path):
    (tmp_path / "file").touch()
    result = run(PROGRAM, NODE_ENV="production", OTEL_TRACES_EXPORTER="none", LOG_DIR=str(tmp_path / "file" / "logs"))
    assert shown(result.stderr) == [*ROUTINE, *ALWAYS]


def test_a_terminal_shows_everything(variables, tmp_path):
    """Standard error is a real terminal, and nothing else is."""
    ours, theirs = pty.openpty()
    given = variables | {"NODE_ENV": "production", "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=given, cwd=tmp_path, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65_536):
                seen += part
        except OSError:  # Linux, when the last writer has closed it
            pass
    os.close(ours)
    assert process.returncode == 0
    assert shown(re.sub(r"\x1b\[[\d;]*m", "", seen.decode())) == [*ROUTINE, *ALWAYS]
