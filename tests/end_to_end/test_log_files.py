"""Every line of every log file is a JSON object with the fields of the design, and each request has one access line."""

import json
import re

from tests.end_to_end.stack import complete_lines

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
LEVELS = {"debug", "info", "warning", "error", "critical"}
STRINGS = ("service", "environment", "version", "instance_id", "message", "context")
OPTIONAL = {
    "trace_id": r"[0-9a-f]{32}",
    "span_id": r"[0-9a-f]{16}",
    "request_id": r"[A-Za-z0-9._-]{1,128}",
    "tenant_id": r"[0-9a-f-]{36}",
    "user_id": r"[0-9a-f-]{36}|None",
}
# None, what is likely to pass, an exception, why a request was refused, and both of these.
ERRORS = (
    set(),
    {"type", "message"},
    {"type", "message", "stack"},
    {"code", "message"},
    {"code", "type", "message", "stack"},
)


def test_every_line_is_a_json_object_with_the_fields_of_the_design(own_stack, tenant):
    for service in own_stack.urls:
        (path,) = own_stack.settings.state.glob(f"logs/{service}-service/combined.log")
        lines = complete_lines(path)
        assert len(lines) > 10
        for each in lines:
            line = json.loads(each)
            assert TIMESTAMP.fullmatch(line["timestamp"]), line
            assert line["level"] in LEVELS, line
            assert all(isinstance(line[name], str) and line[name] for name in STRINGS), line
            assert line["service"] == f"{service}-service", line
            assert all(re.fullmatch(form, line[name]) for name, form in OPTIONAL.items() if name in line), line
            assert set(line.get("http", ())) in (set(), {"method", "route", "path", "status_code", "client_ip"}), line
            assert line.get("error", {}).keys() - {"facts"} in ERRORS, line
            assert isinstance(line.get("duration_ms", 0), int | float), line


def test_error_log_holds_errors_only(own_stack, tenant):
    for path in own_stack.settings.state.glob("logs/*/error.log"):
        assert {json.loads(line)["level"] for line in complete_lines(path)} <= {"error", "critical"}


def test_a_request_has_exactly_one_access_line(own_stack, tenant):
    lines = [line for line in own_stack.lines() if line["message"] == "request handled"]
    spans = [line["span_id"] for line in lines]
    assert len(spans) == len(set(spans)) > len(tenant.traces)
    assert all(line["http"]["path"] not in ("/metrics", "/health/ready", "/health/live") for line in lines)
