"""A fault's row counts what began during it, and names each promise that was broken."""

import dataclasses

import pytest

from tests.chaos.report import (
    MOST_LOG_BYTES_PER_SECOND,
    READY_WITHIN_SECONDS,
    WORKS_WITHIN_SECONDS,
    Attempt,
    Row,
    table,
)


@pytest.fixture
def row() -> Row:
    """A fault of a watcher that has harmed nobody: ten seconds, of which it was away for six."""
    return Row("jaeger", "stop", is_telemetry=True, began=100.0, returned=106.0, ended=110.0, ready_after=0.1)


def test_a_fault_without_harm_breaks_no_promise(row):
    row.count([Attempt(105.0, 0.2, "budget", "")], [], [])
    assert row.broken() == []


@pytest.mark.parametrize(("at", "counted"), [(99.9, 0), (100.0, 1), (109.9, 1), (110.0, 0)])
def test_what_began_during_a_fault_is_counted(row, at, counted):
    row.count([Attempt(at, 20.0, "budget", "503")], [at], [at])
    assert (row.requests, row.failed, row.lost, row.doubled) == (counted,) * 4


def test_the_slowest_request_and_the_last_failure_are_found(row):
    row.count(
        [Attempt(101.0, 3.0, "auth", "503"), Attempt(107.5, 0.2, "auth", "503"), Attempt(108.0, 1.0, "auth", "")],
        [],
        [],
    )
    assert (row.requests, row.failed, row.slowest, row.works_after) == (3, 2, 3.0, 1.5)


def test_a_request_that_fails_for_telemetrys_sake_breaks_a_promise(row):
    failing = [Attempt(101.0, 0.1, "budget", "503")]
    row.count(failing, [], [])
    assert row.broken() == ["jaeger, stop: 1 requests failed for telemetry's sake"]
    database = dataclasses.replace(row, part="postgres", is_telemetry=False)
    database.count(failing, [], [])
    assert database.broken() == []


BROKEN = [
    (
        {"ready_after": 35.0, "started_after": 20.0},
        {"ready_after": 35.1, "started_after": 20.0},
        "ready again before 35.1 s",
    ),
    ({"ready_after": READY_WITHIN_SECONDS}, {"ready_after": READY_WITHIN_SECONDS + 0.1}, "ready again before 15.1 s"),
    ({"ready_after": 1.0}, {"ready_after": None}, "ready again at all"),
    (
        {"works_after": WORKS_WITHIN_SECONDS},
        {"works_after": WORKS_WITHIN_SECONDS + 0.1},
        f"still failed {WORKS_WITHIN_SECONDS + 0.1:.1f} s after",
    ),
    (
        {"log_bytes": 10 * MOST_LOG_BYTES_PER_SECOND},
        {"log_bytes": 10 * MOST_LOG_BYTES_PER_SECOND + 1},
        "bytes were logged in 10 s",
    ),
    ({"lost": 0}, {"lost": 1}, "1 acknowledged writes are lost"),
    ({"doubled": 0}, {"doubled": 2}, "2 effects happened twice"),
    ({"problems": []}, {"problems": ["auth-service has restarted"]}, "auth-service has restarted"),
]


@pytest.mark.parametrize(("kept", "broken", "named"), BROKEN, ids=lambda each: str(each))
def test_a_promise_is_kept_up_to_its_number_and_named_beyond_it(row, kept, broken, named):
    assert dataclasses.replace(row, **kept).broken() == []
    (text,) = dataclasses.replace(row, **broken).broken()
    assert text.startswith("jaeger, stop: ") and named in text


def test_the_table_has_a_line_for_each_fault(row):
    row.count([Attempt(101.0, 3.25, "auth", "503")], [], [])
    row.log_bytes, row.alert = 25_000, "WatcherDown after 150 s, ended"
    head, rule, line, never = table([row, dataclasses.replace(row, ready_after=None)]).splitlines()
    assert line == "| jaeger | stop | 1 | 1 | 3.2 s | 0.1 s | 0.0 s | 0 | 0 | 2 | WatcherDown after 150 s, ended |"
    assert "| never |" in never
    assert head.count("|") == rule.count("|") == line.count("|")
