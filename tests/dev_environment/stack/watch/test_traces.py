"""Traces are put together from the files of all services, and drawn as a tree with their log lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from stack.watch import drawing, logs, traces

REFUSED = {"key": "error.type", "value": {"stringValue": "budget-exceeded"}}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def otlp(service: str, *spans: dict[str, Any]) -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}) + "\n"


def span(
    span_id: str, name: str, parent: str = "", *, kind: int = 2, trace: str = TRACE, start: int = 0, **more: object
) -> dict[str, Any]:
    ends = {"startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 2_000_000)}
    return {"traceId": trace, "spanId": span_id, "parentSpanId": parent, "name": name, "kind": kind, **ends, **more}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    budget, personnel = tmp_path / "budget-service", tmp_path / "personnel-service"
    for folder in (budget, personnel):
        folder.mkdir()
    (budget / "spans.jsonl").write_text(
        otlp(
            "budget-service",
            span("b1", "POST /spend", "outside", attributes=[REFUSED]),
            span("b2", "GET personnel", "b1", kind=3, start=1_000_000),
        )
    )
    failed = {"status": {"code": 2, "message": "gone"}}
    (personnel / "spans.jsonl.20260101T000000.000000").write_text(
        otlp("personnel-service", span("p1", "GET /me", "b2", start=1_500_000, **failed)) + "{torn\n"
    )
    (personnel / "spans.jsonl").write_text(otlp("personnel-service", span("q1", "GET /old", trace="1" * 32)))
    return [budget, personnel]


def test_a_trace_is_put_together_from_the_files_of_all_services_and_their_predecessors(folders):
    assert {each.span_id for each in traces.of_trace(folders, TRACE[:8])[TRACE]} == {"b1", "b2", "p1"}


def test_a_prefix_of_two_traces_finds_both_and_an_unknown_one_nothing(folders):
    assert set(traces.of_trace(folders, "")) == {TRACE, "1" * 32}
    assert traces.of_trace(folders, "ffff") == {}


def test_the_newest_trace_is_that_of_the_last_request_from_outside_but_for_the_probes(folders):
    late = span("n1", "GET /last", "callers-own", trace="2" * 32, start=9_000_000)
    by_probe = [{"key": "user_agent.original", "value": {"stringValue": "all-erp-probe"}}]
    probed = span("n3", "GET /last", "probes-own", trace="4" * 32, start=10_000_000, attributes=by_probe)
    background = span("n2", "send", trace="3" * 32, kind=4, start=99_000_000)
    with (folders[0] / "spans.jsonl").open("a") as file:
        file.write(otlp("budget-service", late, probed, background))
    assert traces.newest(folders) == "2" * 32


def test_without_spans_there_is_no_newest_trace(tmp_path):
    assert traces.newest([tmp_path]) is None


def test_the_drawing_is_a_tree_with_the_lines_of_each_span(folders):
    line = {
        "timestamp": "2026-01-01T00:00:00.000001Z",
        "level": "info",
        "service": "personnel-service",
        "context": "http",
        "message": "asked",
        "trace_id": TRACE,
        "span_id": "p1",
    }
    rows = [
        row.plain for row in drawing.draw(traces.of_trace(folders, TRACE)[TRACE], [line], width=140, coloured=False)
    ]
    assert rows[0].startswith(f"trace {TRACE}  3 spans, 2 services, 3.5 ms")
    assert rows[0].endswith(", 1 failed")
    stems = ("budget-service", "└─ budget-service", "   └─ personnel-service")
    assert [row.startswith(stem) for row, stem in zip(rows[1:4], stems, strict=True)] == [True] * 3
    assert "✗ gone" in rows[3]
    assert "  budget-exceeded " in rows[1]  # refused, which is no failure
    assert "█" in rows[1]
    assert "asked" in rows[4]
    assert "┊" in rows[4]


def test_a_line_outside_every_recorded_span_is_shown_too(folders):
    line = {"message": "late", "trace_id": TRACE, "span_id": "unknown"}
    rows = [
        row.plain for row in drawing.draw(traces.of_trace(folders, TRACE)[TRACE], [line], width=100, coloured=False)
    ]
    assert rows[-2] == "log lines of this trace outside its recorded spans"
    assert "late" in rows[-1]


def test_no_span_is_lost_from_the_drawing_whatever_its_parents():
    circle = [span("c1", "in a circle", "c2"), span("c2", "too", "c1", start=1)]
    twice = [span("d1", "twice", start=2), span("d1", "twice", start=3), span("d2", "below", "d1", start=4)]
    spans = list(traces.of_lines([otlp("auth-service", *circle, *twice)]))
    said = [{"message": "said once", "span_id": "d1"}, {"message": "outside", "span_id": ["d1"]}]
    rows = [row.plain for row in drawing.draw(spans, said, width=140, coloured=False)]
    assert [sum(each.name in row for row in rows) for each in spans] == [1, 1, 2, 2, 1]
    assert "its parents form a circle" in next(row for row in rows if "in a circle" in row)
    assert sum("said once" in row for row in rows) == 1
    assert "outside" in rows[-1]


def test_a_drawing_of_thousands_of_levels_keeps_every_name():
    deep = [span(str(each), f"level {each:04}", str(each - 1), start=each) for each in range(3000)]
    rows = drawing.draw(list(traces.of_lines([otlp("auth-service", *deep)])), [], width=120, coloured=False)
    assert [f"level {each:04}" in row.plain for each, row in enumerate(rows[1:])] == [True] * 3000


def test_the_lines_of_a_trace_come_in_the_order_of_time(tmp_path):
    for service, at in (("a", "2026-01-01T00:00:02Z"), ("b", "2026-01-01T00:00:01Z")):
        (tmp_path / service).mkdir()
        own = {"timestamp": at, "trace_id": TRACE, "service": service}
        other = {"timestamp": at, "trace_id": "1" * 32, "message": TRACE}
        (tmp_path / service / "combined.log").write_text(json.dumps(own) + "\n" + json.dumps(other) + "\n")
    found = logs.of_trace([tmp_path / "a", tmp_path / "b"], TRACE)
    assert [line["service"] for line in found] == ["b", "a"]
