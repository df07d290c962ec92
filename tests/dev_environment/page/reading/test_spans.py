"""The page's list of traces holds what the services' span files say, whatever else is in them, in bounded memory."""

import json
import os
import time
from pathlib import Path

import pytest
from opentelemetry.trace import Span, SpanKind, format_span_id, format_trace_id
from page.reading import index, spans
from page.reading.edges import Edges
from page.reading.entries import MOST_PLACES
from page.reading.spans import OUTSIDE, Traces
from stack.watch.tail import Place
from stack.watch.traces import Span as Recorded

AUTH, BUDGET = "auth-service", "budget-service"
PORTS = {3001: AUTH, 3010: BUDGET}


def id_of(span: Span) -> str:
    return format_trace_id(span.get_span_context().trace_id)


def ids(found: list[spans.Trace]) -> list[str]:
    return [trace.trace_id for trace in found]


@pytest.fixture
async def traces(folders: dict[str, Path]) -> Traces:
    return Traces(folders, PORTS)


async def test_a_trace_through_two_services_is_described_by_its_first_span(record, traces):
    root = record(BUDGET, "POST /api/v1/spend", seconds=0.5, http__response__status_code=409)
    call = record(BUDGET, "GET /me", root, kind=SpanKind.CLIENT)
    record(AUTH, "GET /me", call, failed="gone")
    await traces.read()
    [found] = traces.find()
    assert (found.trace_id, found.service, found.name) == (id_of(root), BUDGET, "POST /api/v1/spend")
    assert (found.status, found.spans, found.services, found.has_failed) == (409, 3, (BUDGET, AUTH), True)
    assert found.seconds == pytest.approx(0.5, abs=0.001)
    assert found.start == pytest.approx(time.time(), abs=10)


async def test_the_newest_traces_come_first_and_each_has_its_neighbours(record, traces):
    made = [id_of(record(AUTH, "GET /x", ago=ago)) for ago in (3, 1, 2)]
    await traces.read()
    newest_first = [made[1], made[2], made[0]]
    assert ids(traces.find()) == newest_first
    assert ids(traces.find(limit=1)) == newest_first[:1]
    assert traces.neighbours(made[2]) == (made[1], made[0])
    assert traces.neighbours(made[1]) == (None, made[2])
    assert traces.neighbours(made[0]) == (made[2], None)
    assert traces.neighbours("0" * 32) == (None, None)


@pytest.mark.parametrize(
    "wanted",
    [
        {"service": AUTH},
        {"route": "/users"},
        {"route": "POST /users"},
        {"status": "404"},
        {"status": "4xx"},
        {"at_least": 0.3},
        {"only_failed": True},
        {"text": "USERS"},
        {"text": "not-there"},
        {"text": "no SUCH user"},
        {"service": AUTH, "route": "/users", "text": "users", "status": "4xx", "only_failed": True},
    ],
    ids=str,
)
async def test_each_filter_keeps_what_it_names_and_nothing_else(record, traces, wanted):
    more = {"http__response__status_code": 404, "error__type": "not-there", "failed": "No such user"}
    right = record(AUTH, "POST /users", seconds=0.4, **more)
    record(BUDGET, "GET /accounts", seconds=0.2, http__response__status_code=500)
    await traces.read()
    assert len(traces.find()) == 2
    assert ids(traces.find(**wanted)) == [id_of(right)]
    assert ids(traces.find(text=id_of(right)[5:25])) == [id_of(right)]


async def test_a_route_is_the_one_with_that_name_if_there_is_one(record, traces):
    exact = record(AUTH, "GET /users")
    other = record(AUTH, "GET /users/{id}", ago=1)
    await traces.read()
    assert ids(traces.find(route="GET /users")) == [id_of(exact)]
    assert ids(traces.find(route="/users")) == [id_of(exact), id_of(other)]
    assert traces.find(route="/nowhere") == []


async def test_the_spans_of_a_trace_are_found_though_its_files_were_renamed(record, traces, folders):
    root = record(AUTH, "POST /x")
    event = record(BUDGET, "process x", root, kind=SpanKind.CONSUMER)
    event.add_event("late")
    await traces.read()
    while len(list(folders[AUTH].iterdir())) < 3:
        record(AUTH, "GET /other", url__path="x" * 100_000)
    await traces.read()
    found = await traces.spans(id_of(root))
    assert [span.span_id for span in found] == [
        format_span_id(each.get_span_context().span_id) for each in (root, event)
    ]
    assert [span.service for span in found] == [AUTH, BUDGET]


async def test_the_spans_of_a_trace_that_is_not_in_the_list_are_sought_in_all_files(record, folders):
    old = record(AUTH, "GET /x", ago=2 * index.HOUR)
    traces = Traces(folders, PORTS)
    await traces.read()
    assert traces.find() == []
    assert [span.name for span in await traces.spans(id_of(old))] == ["GET /x"]
    assert await traces.spans("0" * 32) == []
    assert await traces.spans("") == []
    assert await traces.spans("../../etc/passwd") == []


async def test_no_more_spans_of_a_trace_are_read_than_asked_for(record, traces):
    root = record(AUTH, "GET /x")
    for _ in range(5):
        record(AUTH, "SELECT", root, kind=SpanKind.CLIENT)
    await traces.read()
    assert traces.find()[0].spans == 6
    assert len(await traces.spans(id_of(root), most=4)) == 4


async def test_calls_events_and_statements_are_the_edges_of_the_map(record, traces):
    root = record(BUDGET, "POST /spend", seconds=0.2, http__response__status_code=503)
    call = record(BUDGET, "GET /me", root, kind=SpanKind.CLIENT, seconds=0.1, server__port=3001)
    record(AUTH, "GET /me", call)
    record(AUTH, "SELECT users", call, kind=SpanKind.CLIENT, db__namespace="auth", server__port=15432, failed="no")
    record(AUTH, "SELECT users", call, kind=SpanKind.CLIENT, db__namespace="auth", server__port=15432)
    record(BUDGET, "process budget:x", root, kind=SpanKind.CONSUMER, cloudevents__event_source=AUTH, seconds=1)
    record(BUDGET, "GET /elsewhere", root, kind=SpanKind.CLIENT, server__port=443)
    await traces.read()
    edges = {(edge.caller, edge.callee, edge.kind): edge for edge in traces.edges(100)}
    assert set(edges) == {
        (OUTSIDE, BUDGET, "http"),
        (BUDGET, AUTH, "http"),
        (AUTH, "auth", "database"),
        (AUTH, BUDGET, "event"),
    }
    assert edges[AUTH, "auth", "database"].rate == edges[AUTH, BUDGET, "event"].rate * 2
    assert edges[AUTH, "auth", "database"].error_ratio == 0.5
    assert edges[OUTSIDE, BUDGET, "http"].error_ratio == 1
    assert edges[BUDGET, AUTH, "http"].p95 == pytest.approx(0.1, rel=0.2)
    assert edges[AUTH, BUDGET, "event"].p95 == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("now", [1000.0, 1004.0, 1009.0])
def test_the_rate_of_an_edge_is_that_of_the_time_over_which_its_calls_are_counted(now):
    edges = Edges()
    for second in range(int(now)):
        edges.add((AUTH, BUDGET, "http"), second + 0.5, 0.1, has_failed=False)
    assert [edge.rate for edge in edges.since(now - 300, now)] == [1.0]


async def test_edges_are_those_of_the_time_that_is_asked_for(record, traces):
    record(AUTH, "SELECT", kind=SpanKind.CLIENT, db__namespace="auth", ago=60)
    await traces.read()
    assert traces.edges(30) == []
    assert [edge.callee for edge in traces.edges(90)] == ["auth"]


@pytest.mark.parametrize("callee", [BUDGET, AUTH], ids=["read after", "read before"])
async def test_a_span_hours_behind_does_not_make_a_new_trace_an_old_one(record, traces, callee):
    caller = {AUTH: BUDGET, BUDGET: AUTH}[callee]
    older, newer = record(AUTH, "GET /older", ago=2), record(AUTH, "GET /newer")
    root = record(caller, "GET /x", ago=1)
    record(callee, "GET /behind", root, ago=2 * index.HOUR)
    await traces.read()
    assert ids(traces.find()) == [id_of(newer), id_of(root), id_of(older)]
    assert traces.find()[1].spans == 2


async def test_clocks_that_differ_and_parents_that_are_missing_or_go_in_circles_are_no_obstacle(
    record, traces, folders
):
    ahead = record(AUTH, "GET /ahead", ago=-500, seconds=0.1)
    backwards = record(AUTH, "GET /backwards", seconds=-3, ago=1)
    orphan = record(BUDGET, "GET /orphan", ahead, ago=5)
    first, second = "a" * 16, "b" * 16
    circle = {"traceId": "c" * 32, "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}
    write(
        folders[AUTH],
        {**circle, "spanId": first, "parentSpanId": second},
        {**circle, "spanId": second, "parentSpanId": first},
    )
    await traces.read()
    found = {trace.trace_id: trace for trace in traces.find()}
    assert set(found) == {id_of(ahead), id_of(backwards), "c" * 32}
    assert found[id_of(backwards)].seconds == 0
    assert found[id_of(orphan)].spans == 2
    assert len(await traces.spans("c" * 32)) == 2
    assert all(edge.p95 >= 0 for edge in traces.edges())
    later = record(AUTH, "GET /later")
    await traces.read()
    assert ids(traces.find(limit=1)) == [id_of(later)]


def write(folder: Path, *made: object) -> None:
    folder.mkdir(exist_ok=True)
    document = {"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}
    with (folder / "spans.jsonl").open("a") as file:
        file.write(json.dumps(document) + "\n")


async def test_garbage_is_left_out_and_what_is_beside_it_is_read(record, traces, folders):
    times = {"startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}
    record(AUTH, "GET /before")
    path = folders[AUTH] / "spans.jsonl"
    for line in (
        "",
        "{torn",
        "[]",
        "null",
        '{"resourceSpans": 5}',
        '{"resourceSpans": [{"scopeSpans": [7]}]}',
        "[" * 9999,
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": ' + "[" * 1000 + "]" * 1000 + "}]}]}]}",
    ):
        with path.open("a") as file:
            file.write(line + "\n")
    with path.open("ab") as file:
        file.write(b'\xff\xfe{"resourceSpans": [\n')
    for made in (
        7,
        {"traceId": "1" * 32, "spanId": "1"},
        {"traceId": "2" * 32, "spanId": "1", "startTimeUnixNano": "9" * 400, "endTimeUnixNano": "1" * 400},
        {"traceId": "3" * 32, "spanId": "1", "attributes": 7} | times,
        {"traceId": "4" * 32, "spanId": "1", "status": 7} | times,
    ):
        write(folders[AUTH], made)
    record(AUTH, "GET /after")
    await traces.read()
    assert [trace.name for trace in traces.find()] == ["GET /after", "GET /before"]
    assert await traces.spans("4" * 32) == []


@pytest.mark.parametrize("value", ['"' + "9" * 5000 + '"', "[" * 1000 + "]" * 1000], ids=["long", "deep"])
@pytest.mark.parametrize("key", ["http.response.status_code", "error.type", "db.namespace", "server.port"])
async def test_a_span_with_an_odd_attribute_takes_none_with_it_that_is_beside_it(record, traces, folders, key, value):
    times = {"startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}
    odd = {"kind": 3, "attributes": [{"key": key, "value": {"stringValue": "VALUE"}}]} | times
    write(folders[AUTH], {"traceId": "1" * 32, "spanId": "1" * 16} | odd, {"traceId": "2" * 32, "spanId": "2"} | times)
    path = folders[AUTH] / "spans.jsonl"
    path.write_text(path.read_text().replace('"VALUE"', value))
    beside = record(AUTH, "GET /beside")
    await traces.read()
    assert {"2" * 32, id_of(beside)} <= set(ids(traces.find()))
    assert len(await traces.spans("2" * 32)) == 1


async def test_files_that_are_missing_truncated_or_removed_are_no_obstacle(record, folders):
    traces = Traces(folders, PORTS)
    await traces.read()
    assert traces.find() == traces.edges() == []
    gone = record(AUTH, "GET /gone", ago=1)
    await traces.read()
    os.truncate(folders[AUTH] / "spans.jsonl", 0)
    assert await traces.spans(id_of(gone)) == []
    await traces.read()
    again = record(AUTH, "GET /again")
    await traces.read()
    assert ids(traces.find()) == [id_of(again), id_of(gone)]
    (folders[AUTH] / "spans.jsonl").unlink()
    await traces.read()
    assert await traces.spans(id_of(again)) == []


async def test_of_too_many_traces_the_newest_are_kept_and_none_comes_back_in_part(record, traces, monkeypatch):
    monkeypatch.setattr(index, "MOST_TRACES", 5)
    monkeypatch.setattr(index, "SURPLUS", 2)
    made = [record(AUTH, "GET /x", ago=20 - number) for number in range(9)]
    await traces.read()
    assert ids(traces.find()) == [id_of(span) for span in reversed(made[-5:])]
    record(BUDGET, "GET /late", made[0], ago=20)
    await traces.read()
    assert id_of(made[0]) not in ids(traces.find())


async def test_what_is_older_than_an_hour_is_dropped(record, traces, monkeypatch):
    record(AUTH, "GET /x", ago=10)
    new = record(AUTH, "GET /x")
    await traces.read()
    assert len(traces.find()) == 2
    monkeypatch.setattr(index, "HOUR", 5)
    await traces.read()
    assert ids(traces.find()) == [id_of(new)]


async def test_spans_that_come_faster_than_they_are_read_are_skipped_and_counted(record, traces, folders, monkeypatch):
    monkeypatch.setattr(spans, "MOST_BEHIND", 20_000)
    record(AUTH, "GET /before")
    await traces.read()
    for number in range(1000):
        times = {"startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}
        write(folders[AUTH], *({"traceId": f"{number:032x}", "spanId": "a" * 16} | times for _ in range(3)))
    await traces.read()
    read = sum(trace.spans for trace in traces.find(limit=9999))
    assert 1 < read < 300
    assert read + traces.skipped == 3001
    assert ids(traces.find(limit=1)) == [f"{999:032x}"]
    assert len(await traces.spans("0" * 32)) == 3


async def test_what_was_written_before_the_page_began_is_not_missed_and_found_by_its_id(record, folders, monkeypatch):
    monkeypatch.setattr(spans, "MOST_BEHIND", 1000)
    root = record(AUTH, "GET /x")
    record(BUDGET, "GET /y", root)
    for _ in range(9):
        record(AUTH, "GET /x", url__path="x" * 900)
    traces = Traces(folders, PORTS)
    await traces.read()
    assert traces.skipped == 0
    assert [trace.spans for trace in traces.find(text=id_of(root))] == [1]
    assert len(await traces.spans(id_of(root))) == 2


async def test_names_without_end_and_huge_attributes_take_no_more_than_their_share(record, traces):
    root = record(AUTH, "GET /" + "x" * 5000, url__path="y" * 100_000)
    for number in range(1100):
        record(AUTH, f"name {number}", root, kind=SpanKind.CLIENT, db__namespace=f"database {number}")
    await traces.read()
    [found] = traces.find(text="name 900")
    assert len(found.name) == 200
    assert found.spans == 1101
    assert traces.find(text="name 1099") == []  # the names of the first thousand
    assert len(traces.edges()) == 201  # with that from outside
    assert len(await traces.spans(id_of(root))) == 1101


async def test_a_service_an_id_and_a_database_without_end_are_cut(traces, folders):
    times = {"startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns())}
    long = {"stringValue": "x" * 5000}
    made = {"traceId": "1" * 5000, "spanId": "1", "kind": 3, "attributes": [{"key": "db.namespace", "value": long}]}
    folders[AUTH].mkdir()
    resource = {"attributes": [{"key": "service.name", "value": long}]}
    document = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [made | times]}]}]}
    (folders[AUTH] / "spans.jsonl").write_text(json.dumps(document) + "\n")
    await traces.read()
    [found], [edge] = traces.find(), traces.edges()
    assert (len(found.trace_id), len(found.service)) == (32, 200)
    assert [len(service) for service in found.services] == [200]
    assert (len(edge.caller), len(edge.callee)) == (200, 200)


def test_of_very_many_spans_the_newest_traces_are_kept_and_of_one_trace_the_first_places(monkeypatch):
    monkeypatch.setattr(index, "MOST_TRACES", 1000)
    monkeypatch.setattr(index, "SURPLUS", 100)
    kept, now = index.Index(), time.time_ns()
    common = {"span_id": "1", "parent_id": "", "service": AUTH, "name": "GET /x", "kind": 2, "reason": ""}
    for number in range(20_000):
        start = now - 10**9 + number * 1000
        kept.add(Recorded(**common, trace_id=str(number), start=start, end=start, has_failed=False, attributes={}))
        if not number % 100:
            kept.forget()
            assert len(kept.ordered()) <= 1100
    newest = kept.ordered()[0]
    assert newest.trace_id == "19999"
    for offset in range(5000):
        newest.found_at(0, Place(1, offset))
    assert [place.offset for _, place in newest.where()] == list(range(MOST_PLACES))


async def test_names_that_nobody_has_any_more_make_room_for_others(record, traces, monkeypatch):
    for number in range(1100):
        record(AUTH, f"odd {number}", kind=SpanKind.CLIENT, db__namespace=f"odd {number}")
    await traces.read()
    assert traces.find(route="odd 999") != []
    assert len(traces.edges()) == 200
    monkeypatch.setattr("page.reading.index.HOUR", 0)
    monkeypatch.setattr("page.reading.edges.SLOTS", -2)
    await traces.read()
    monkeypatch.undo()
    new = record(AUTH, "GET /new", seconds=0, kind=SpanKind.CLIENT, db__namespace="new")
    await traces.read()
    assert ids(traces.find(route="GET /new")) == [id_of(new)]
    assert [edge.callee for edge in traces.edges()] == ["new"]
