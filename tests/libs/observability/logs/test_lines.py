"""A line has the fields of the design, in their order, whatever is logged and whoever logs it."""

import json
import logging
import math
import re
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from libs.observability import TelemetrySettings, bind, get_logger
from libs.observability.context import working
from libs.observability.instance import instance_id
from libs.observability.logs.handler import LineHandler
from libs.observability.logs.lines import LineFormatter
from tests.fixtures.telemetry import read_lines
from tests.libs.observability import hostile

log = get_logger("UserController")


def test_a_line_has_the_fields_of_the_design_in_their_order(lines):
    log.info("user created", userId=7, action="create", amount=Decimal("10.50"))
    [line] = lines()
    constant = ("service", "environment", "version", "instance_id")
    assert list(line)[:8] == ["timestamp", "level", *constant, "message", "context"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "service": "test-service",
        "environment": "development",
        "version": "1.2.3",
        "instance_id": instance_id(),
        "message": "user created",
        "context": "UserController",
        "userId": 7,
        "action": "create",
        "amount": "10.50",
    }


def test_a_given_context_names_the_component(lines):
    log.info("done", context="Relay")
    assert lines()[0]["context"] == "Relay"


@pytest.mark.parametrize(("method", "level"), [("warn", "warning"), ("warning", "warning"), ("critical", "critical")])
def test_levels_have_the_names_of_the_design(lines, method, level):
    getattr(log, method)("something")
    assert lines()[0]["level"] == level


def test_an_error_carries_its_stack_and_goes_to_error_log_too(lines, tmp_path):
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        log.error("cannot divide", error=error, userId=7)
        log.exception("still cannot")
    log.error("no exception here", error="only a text")
    given, current, text = lines()
    for line in (given, current):
        assert (line["error"]["type"], line["error"]["message"]) == ("ZeroDivisionError", "division by zero")
        assert "test_lines.py" in line["error"]["stack"]
    assert text["error"] == {"message": "only a text"}
    log.info("not an error")
    assert read_lines(tmp_path / "logs", "error.log") == [given, current, text]


def test_a_field_may_have_any_name(lines):
    log.info("named", name="n", args=(1,), msg="m", message="free", level="free", lineno=1, extra={"a": 1}, self="s")
    logging.getLogger("library").info("plain", extra={"threads": 3, "service": "other"})
    ours, theirs = lines()
    assert (ours["name"], ours["args"], ours["msg"], ours["lineno"], ours["self"]) == ("n", [1], "m", 1, "s")
    assert (ours["message"], ours["message_"], ours["level"], ours["level_"]) == ("named", "free", "info", "free")
    assert ours["extra"] == {"a": 1}
    assert (theirs["threads"], theirs["service"], theirs["service_"]) == (3, "test-service", "other")


def test_objects_of_the_index_stay_objects(lines):
    log.info("odd", http="text", **{"http.route": "/x", "error.type": "y", "deep": {"a.b": 1}})
    [line] = lines()
    assert "http" not in line
    assert (line["http_"], line["http_route"], line["error_type"], line["deep"]) == ("text", "/x", "y", {"a_b": 1})


def test_no_value_costs_a_line(lines):
    # Straight to our handler: pytest's own can take none of these.
    [handler] = [each for each in logging.getLogger().handlers if isinstance(each, LineHandler)]
    fields = {"values": [math.nan, 2**100, b"\xff", {1, 2}, object, UUID(int=1)], "text": "\udfff", "key": {None: 1}}
    handler.handle(
        logging.makeLogRecord({"name": "library", "levelno": logging.INFO, "msg": "odd \ud800", "_fields": fields})
    )
    handler.handle(
        logging.makeLogRecord(
            {"name": "library", "levelno": logging.INFO, "msg": "%d of %s", "args": ("not a number",)}
        )
    )
    ours, theirs = lines()
    assert (ours["message"], ours["text"], ours["key"]) == ("odd ?", "?", {"None": 1})
    assert ours["values"][:2] == [None, str(2**100)]
    assert "%d of %s" in theirs["message"]


def test_a_percent_sign_in_a_message_is_a_percent_sign(lines):
    log.info("100 % of %s")
    assert lines()[0]["message"] == "100 % of %s"


def test_bound_fields_and_the_span_are_on_every_line(lines, spans, tenants_on_spans):
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("work") as span, working(span, request_id="r-1"):
        bind(tenant_id="t-1", user_id="u-1", password="hunter2")
        log.info("inside", user_id="other")
        logging.getLogger("library").info("inside as well")
        bind(user_id=None)
        log.info("without user")
    log.info("outside")
    inside, library, without, outside = lines()
    context = span.get_span_context()
    assert inside["trace_id"] == format_trace_id(context.trace_id)
    assert inside["span_id"] == format_span_id(context.span_id)
    assert (inside["request_id"], inside["tenant_id"], inside["user_id"]) == ("r-1", "t-1", "other")
    assert (library["user_id"], library["password"]) == ("u-1", "[redacted]")
    assert "user_id" not in without
    assert not {"trace_id", "span_id", "request_id", "tenant_id"} & outside.keys()
    [ended] = spans()
    assert ended.attributes == {"tenant.id": "t-1", "user.id": "u-1"}


def test_secrets_reach_neither_message_nor_field_nor_stack(lines):
    secret = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    try:
        raise ValueError(f"refused {secret}")
    except ValueError as error:
        log.error(f"got {secret}", error=error, header=f"Bearer {secret}", token=secret, body={"password": secret})
    logging.getLogger("library").warning("header %s", secret)
    assert secret not in json.dumps(lines())
    assert len(lines()) == 2


def test_whatever_a_value_does_it_costs_neither_the_line_nor_the_caller(lines, monkeypatch):
    broken = hostile.Hostile()
    # Without pytest's own handler, which can take none of these.
    [handler] = [each for each in logging.getLogger().handlers if isinstance(each, LineHandler)]
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    log.info("fields", value=broken, text=hostile.Text("plain"), number=10**5000, mapping=hostile.Breaks())
    log.error("given", error=broken)
    log.exception("given as well", error=broken, context=broken)
    try:
        raise hostile.Hostile
    except BaseException:
        log.exception("current")
    for message, args in (("%s of %d", (broken, 2)), ("%d", (broken,)), (broken, ()), ("%(a)s", ({"a": broken},))):
        record = logging.LogRecord("library", logging.INFO, "", 1, "", (), None)
        record.msg, record.args = message, args[0] if args and type(args[0]) is dict else args
        handler.handle(record)
    fields, given, as_well, current, *messages = lines()
    assert (fields["value"], fields["text"], fields["mapping"]) == ("<Hostile>", "plain", {"first": 1})
    for line in (given, as_well, current):
        assert (line["error"]["type"].rpartition(".")[2], line["error"]["message"]) == ("Hostile", "<Hostile>")
    assert [line["message"] for line in messages] == ["<Hostile> of 2", "%d ['<Hostile>']", "<Hostile>", "<Hostile>"]


def test_bind_takes_any_value_and_bounds_what_every_line_would_carry(lines, spans):
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("work") as span, working(span):
        bind(x=10**5000, y=hostile.Breaks(), z=hostile.Hostile(), user_id=hostile.Hostile())
        bind(**{"k" * 1_000_000: 1, "a.b": 2, "long": "x" * 1_000_000})
        for number in range(100):
            bind(**{f"n{number}": ["x" * 1000] * 100})
        log.info("inside")
    [line] = lines()
    assert (line["y"], line["z"], line["a_b"]) == ({"first": 1}, "<Hostile>", 2)
    assert len(line["long"]) < 1100
    assert len(json.dumps(line)) < 65_536
    assert spans()[0].attributes == {"user.id": "<Hostile>"}


@pytest.mark.parametrize("character", ["x", "\x01", '"', "\u1100", "\U0001f600"])
def test_no_line_is_longer_than_100_000_bytes(lines, tmp_path, character):
    try:
        raise ValueError(character * 10**6)
    except ValueError as error:
        fields = {f"f{number}": [character * 10_000] * 100 for number in range(1000)}
        log.error(character * 10**6, error=error, request_id="r-1", **fields)
    logging.getLogger("library").error("%s %s", character * 10**6, [character * 10**6] * 10)
    first, second = lines()
    assert first["error"]["type"] == "ValueError"
    assert first["request_id"] == "r-1"
    assert second["message"].startswith(character * 1000)
    assert max(map(len, (tmp_path / "logs" / "combined.log").read_bytes().splitlines())) < 100_000


def test_a_line_with_many_fields_keeps_the_first(lines):
    log.info("many", **{f"field{number}": number for number in range(10_000)})
    [line] = lines()
    assert 70 < len(line) < 120
    assert line["field0"] == 0


def test_a_named_argument_is_hidden_by_its_name(lines):
    logging.getLogger("x").warning("login of %(user)s with %(password)s", {"user": "kim", "password": "hunter2"})
    assert lines()[-1]["message"] == "login of kim with [redacted]"


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the strings in which secrets have been looked for."""
    lengths: list[int] = []
    monkeypatch.setattr(
        "libs.observability.redaction.without_secrets", lambda string: lengths.append(len(string)) or string
    )
    return lengths


def test_the_arguments_of_a_message_have_one_budget(lines, searched):
    logging.getLogger("x").warning("%s" * 100, *[["x" * 1000] for _ in range(100)])
    assert len(lines()[-1]["message"]) > 700
    assert sum(searched) < 4000


def many_errors(text: str) -> ValueError:
    errors = [ValueError(text) for _ in range(10)]
    for each, cause in pairwise(errors):
        each.__cause__ = cause
        each.add_note(text)
    return errors[0]


def test_all_of_a_line_has_one_budget_and_spends_it_on_the_message_and_the_exception_first(lines, searched):
    fields = {f"{number} {'k' * 120}": "v" * 5000 for number in range(100)}
    fields = {"first": 1, **fields}
    log.error("m" * 5000, error=many_errors("e" * 5000), **fields)
    (line,) = lines()
    assert (line["message"][:2000], line["error"]["message"][:1000]) == ("m" * 2000, "e" * 1000)
    assert line["first"] == 1
    assert sum(searched) < 5120 + 5 * 128  # a string that is cut is searched a bit further
    searched.clear()
    log.error("many", **{f"{number} key": "v" for number in range(100)})
    log.error("many", inner={f"{number} key": "v" for number in range(1000)})
    assert len(searched) < 2 * 5120 / 64


def test_a_value_beside_the_name_of_a_secret_is_hidden_among_the_fields_of_a_line_too(lines):
    log.info("header", name="authorization", value="hunter2")
    log.info("header", name="accept", value="*/*")
    assert [line["value"] for line in lines()] == ["[redacted]", "*/*"]


@pytest.mark.parametrize("message", ["%s %s", "%s %s %d", "%s"])
def test_an_argument_is_asked_once_for_its_string(message):
    asked: list[object] = []

    class Counted:
        """Notes that it is shown."""

        def __str__(self) -> str:
            asked.append(self)
            return "shown"

    # Without a logger, since pytest shows what is logged too.
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, message, (Counted(), Counted()), None)
    assert "shown" in LineFormatter(TelemetrySettings.for_service("test")).line_of(record).message
    assert len(asked) == 2
