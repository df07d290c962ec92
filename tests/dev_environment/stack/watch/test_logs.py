"""Log lines from the services' files: filtered, merged by time, followed across rotations, harmless to a terminal."""

import json

import pytest
from stack.errors import SettingError
from stack.watch import logs


def line(second: int, **fields: object) -> str:
    return json.dumps({"timestamp": f"2026-01-01T00:00:{second:02}.000000Z", **fields}) + "\n"


def test_the_lines_of_all_services_come_in_one_order_with_those_of_rotated_files(tmp_path):
    for service in ("a", "b"):
        (tmp_path / service).mkdir()
    (tmp_path / "a" / "combined.log.20260101T000000.000000").write_text(line(1, n=1))
    (tmp_path / "a" / "combined.log").write_text(line(3, n=3) + "torn {\n")
    (tmp_path / "b" / "combined.log").write_text(line(2, n=2))
    assert [each["n"] for each in logs.stored([tmp_path / "a", tmp_path / "b"])] == [1, 2, 3]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [("", "debug info warning error critical"), ("warn", "warning error critical"), ("ERROR", "error critical")],
)
def test_a_level_keeps_lines_of_that_level_and_above(wanted, kept):
    keep = logs.keeps(level=wanted)
    assert [level for level in logs.LEVELS if keep({"level": level})] == kept.split()


def test_a_level_that_does_not_exist_is_refused_by_name():
    with pytest.raises(SettingError, match="'loud'"):
        logs.keeps(level="loud")


def test_a_trace_may_be_named_by_how_it_begins():
    keep = logs.keeps(trace="AB")
    assert keep({"trace_id": "abcd"})
    assert not keep({"trace_id": "cd"})
    assert not keep({})


def test_what_is_no_line_is_left_out_and_what_is_no_text_is_shown_as_such():
    garbage = [b"", b"[]", b"7", b"{", b"[" * 100_000, b'{"message":"caf\xe9"}']
    assert list(logs.parsed(garbage)) == [{"message": "caf�"}]


def test_control_characters_from_a_client_do_not_reach_the_terminal():
    shown = logs.readable({"message": "asked", "path": "\x1b[2J", "service": "auth-service"}, coloured=False)
    assert "\x1b" not in shown
    assert "\\x1b[2J" in shown


@pytest.mark.parametrize("odd", [5, None, "late", ["x"], {"facts": 5}], ids=str)
def test_a_line_of_some_other_writer_is_shown_as_it_is(odd):
    shown = logs.readable({"message": "hello", "error": odd, "http": 5}, coloured=False)
    assert f"error?={odd}" in shown
    assert "http?=5" in shown
