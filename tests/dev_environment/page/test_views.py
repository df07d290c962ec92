"""What the views make of what is read: fields, curves, and places on the map."""

import math
from dataclasses import replace
from importlib import import_module
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import page.views
import pytest
from page import words
from page.reading.processes import ANSWER_SECONDS, State
from page.reading.scrape import Exemplar
from page.reading.spans import OUTSIDE, Edge
from page.reading.store import STATE_SECONDS, WAKE_SECONDS
from page.views import places
from stack.services import AUTH, SERVICES
from stack.watch.logs import parsed
from stack.watch.tail import TOO_DEEP
from stack.watch.traces import Event, Link, Span, of_lines


@pytest.fixture(scope="module")
def views() -> Any:
    """The views. Every process collects all tests, and only the one that runs these takes the time to import NiceGUI."""
    for name in ("charts", "logs", "overview", "service_map", "waterfall"):
        import_module(f"page.views.{name}")
    return page.views


def test_the_fields_of_a_line_have_their_full_names_and_the_row_is_not_said_again(views):
    line = {"timestamp": "t", "level": "error", "service": "s", "message": "m", "http": {"method": "GET", "path": "/"}}
    line |= {"error": {"code": "late", "stack": "Traceback"}, "tags": [], "user_id": None}
    assert views.logs.fields_of(line) == [
        ("timestamp", "t"),
        ("http.method", "GET"),
        ("http.path", "/"),
        ("error.code", "late"),
        ("tags", "[]"),
        ("user_id", "–"),
    ]


def test_each_process_beside_the_services_has_one_row_and_only_one_that_is_ready_leads_to_its_page(views):
    there = [("auth-service", "ready"), ("probe", "ready"), ("prometheus", "ready"), ("jaeger", "down")]
    states = {name: State(name, state, 0.0, 1, "") for name, state in there}
    shown = views.overview.beside_rows(states, {"prometheus": "http://127.0.0.1:1", "jaeger": "http://127.0.0.1:2"})
    assert {row["id"]: row.get("href") for row in shown} == {
        "probe": None,
        "prometheus": "http://127.0.0.1:1",
        "jaeger": None,
    }


def test_a_service_that_hangs_is_red_within_two_seconds(views):
    until_the_next_look = max(STATE_SECONDS[True], WAKE_SECONDS)
    assert until_the_next_look + ANSWER_SECONDS + views.overview.DRAW_SECONDS < 2


def test_a_small_curve_keeps_its_peaks(views):
    points = [(float(at), 9.0 if at == 701 else 1.0) for at in range(1800)]
    curve = views.overview.thin(points, most=40)
    assert len(curve) <= 40
    assert (701, 9.0) in curve
    assert views.overview.thin([]) == []


def test_a_small_curve_ends_where_nothing_is_known_and_begins_again(views):
    known = [(float(at), 1.0) for at in range(0, 600, 5)]
    failing = [(float(at), math.nan) for at in range(600, 620, 5)]
    later = [(float(at), 2.0) for at in range(900, 1200, 5)]
    curve = views.overview.thin(known + failing + later + [(1200.0, math.nan)])
    assert [when for when, value in curve if value is None] == [900, 1200]
    assert {value for when, value in curve if when < 900} == {1.0}


def test_each_node_of_the_map_has_a_place_of_its_own_and_names_are_data(views):
    evil = "<img src=x>{b}"
    edges = [
        Edge(OUTSIDE, "auth-service", "http", 1.0, 0.5, 0.01),
        Edge("auth-service", "auth database", "database", 9.0, 0.0, 0.001),
        Edge("auth-service", evil, "event", 0.1, 0.0, 0.02),
    ]
    graph = views.service_map.drawn(edges)
    nodes = [node for node in graph["data"] if node["symbolSize"]]
    assert {node["name"] for node in nodes} == {OUTSIDE, "auth-service", "auth database", evil}
    assert len({(node["x"], node["y"]) for node in nodes}) == 4
    assert [link["value"] for link in graph["links"]] == [
        "1.0/s · 50 % failed · 10.0 ms",
        "9.0/s · 1.0 ms",
        "0.1/s · 20.0 ms",
    ]
    assert [row["cells"][0]["text"] for row in views.service_map.rows(edges)] == [
        "auth-service",
        OUTSIDE,
        "auth-service",
    ]


def test_each_text_of_the_map_can_be_read(views):
    services = [each.name for each in SERVICES]
    called = [("outside", name, "http") for name in services] + [("probe", name, "http") for name in services]
    called += [(name, name.removesuffix("-service"), "database") for name in services]
    called += [("budget-service", "personnel-service", "http")]
    called += [(name, "auth-service", "http") for name in services if name != "auth-service"]
    called += [(name, "system-service", "event") for name in services]
    called += [(name, "tenant-service", "event") for name in services]
    called += [("tenant-service", name, "event") for name in ("auth-service", "budget-service", "personnel-service")]
    graph = views.service_map.drawn([Edge(*ends, rate=0.05, error_ratio=0.0, p95=0.123) for ends in called])
    texts = [each for each in graph["data"] if not each["symbolSize"]]
    to_itself = [each["name"] for each in texts if each["value"].startswith("↻")]
    assert to_itself == ["system-service system-service event", "tenant-service tenant-service event"]
    boxes = [places.around((each["x"], each["y"]), each["value"]) for each in texts]
    assert len(boxes) == len(called)
    assert not [pair for pair in combinations(boxes, 2) if pair[0].common(pair[1])]


def test_a_map_of_what_nobody_can_read_is_drawn_without_its_texts(views):
    graph = views.service_map.drawn([Edge(f"{each}", "auth-service", "event", 1.0, 0.0, 0.1) for each in range(200)])
    assert len(graph["links"]) == 200
    assert all(each["symbolSize"] for each in graph["data"])


def test_a_span_unfolds_its_attributes_lines_and_stacks(views):
    span = Span(
        "t",
        "a",
        "",
        "auth-service",
        "GET /",
        2,
        0,
        10,
        has_failed=False,
        reason="",
        attributes={"db.query.text": "select 1"},
    )
    line = {"level": "error", "timestamp": "2026-01-01T10:00:00.000Z", "message": "No", "error": {"stack": "Traceback"}}
    raised = {"exception.type": "ValueError", "exception.stacktrace": "Traceback of the span"}
    events = (
        Event(1_000_000, "exception", raised),
        Event(1_000_000, "exception", {"exception.stacktrace": "Traceback"}),
    )
    unfolded = views.waterfall.detail(replace(span, events=events, links=(Link("b" * 32, "c"),)), [line])
    assert ("db.query.text", "select 1") in unfolded.get("fields", ())
    assert unfolded.get("lines") == [("error", "10:00:00.000  No", "/logs?trace=t")]
    assert unfolded.get("stack") == "Traceback\nTraceback of the span"
    assert ("exception", f"{words.clock(0.001, exact=True)}  exception.type=ValueError") in unfolded.get("fields", ())
    assert unfolded.get("links") == [("The trace bbbbbbbb, which it names", f"/trace/{'b' * 32}")]


def test_what_is_nested_too_deep_to_be_shown_says_so(views):
    deep = f"{'[' * 1000}1{']' * 1000}"
    [line] = parsed([f'{{"service":"s","message":{deep},"http":{{"method":{deep}}},"a":{deep},"b":1}}'])
    assert views.logs.fields_of(line)[1:] == [("http", TOO_DEEP), ("a", TOO_DEEP), ("b", "1")]
    assert views.waterfall.said(line) == TOO_DEEP
    attribute = f'{{"key":"a","value":{{"arrayValue":{deep}}}}}'
    span = f'{{"traceId":"t","spanId":"a","startTimeUnixNano":1,"endTimeUnixNano":2,"attributes":[{attribute}]}}'
    [found] = of_lines([f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'])
    assert ("a", TOO_DEEP) in views.waterfall.detail(found, [line]).get("fields", ())


def test_a_curve_is_broken_where_nothing_is_known_and_nowhere_else(views):
    curve = [(0.0, 1.0), (15.0, 2.0), (60.0, 3.0), (106.0, 4.0), (111.0, 5.0)]
    assert views.charts.with_breaks(curve, views.charts.MILLISECONDS) == [
        (0, 1000),
        (15_000, 2000),
        (60_000, 3000),
        (105_999, None),
        (106_000, 4000),
        (111_000, 5000),
    ]
    assert views.charts.with_breaks([(0.0, 1.0), (5.0, math.nan)], views.charts.MILLISECONDS) == [
        (0, 1000),
        (5000, None),
    ]
    assert views.charts.with_breaks([], views.charts.COUNT) == []


def test_the_slowest_come_first_and_a_trace_once_by_its_slowest_request(views):
    took = [(0.02, "a"), (0.05, "b"), (0.07, "a"), (0.01, "c")]
    exemplars = [Exemplar(1.0, seconds, trace_id, f"GET /{seconds}") for seconds, trace_id in took]
    known = {each.name: [] for each in SERVICES} | {AUTH.name: exemplars}
    store = SimpleNamespace(metrics=SimpleNamespace(exemplars=known.get))
    assert [each["cells"][0]["text"] for each in views.overview.slowest_rows(store)] == [
        "GET /0.07",
        "GET /0.05",
        "GET /0.01",
    ]
