"""Each line of a growing file is read once: through rotation, removal and truncation, however much and whatever is in it."""

import os
from pathlib import Path

import pytest
from stack.watch.tail import CHUNK_BYTES, Tail, lines_with

from libs.observability.files import RotatingFile


def everything(tail: Tail) -> list[bytes]:
    """What is new, to the end."""
    found: list[bytes] = []
    while lines := tail.lines():
        found += [line for _, line in lines]
    return found


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "combined.log"


def test_half_a_line_is_read_when_it_is_whole_though_its_file_is_renamed_meanwhile(path):
    path.write_bytes(b"1\n")
    tail = Tail(path)
    assert everything(tail) == [b"1"]
    append(path, b"2\nthr")
    assert everything(tail) == [b"2"]
    append(path, b"ee\n")
    path.rename(path.with_name("combined.log.00000001.20260101T000000.1"))
    path.write_bytes(b"4\n")
    assert everything(tail) == [b"three", b"4"]
    assert everything(tail) == []


def test_no_line_is_missed_or_read_twice_though_numbers_of_removed_files_are_used_again(path):
    file = RotatingFile(path, max_bytes=100, kept=2)
    tail = Tail(path)
    found: list[bytes] = []
    for number in range(60):
        file.write(b"%050d\n" % number)
        found += everything(tail)
    file.close()
    assert [int(line) for line in found] == list(range(60))


def test_files_that_come_and_go_between_two_looks_are_read_in_their_order(path):
    file = RotatingFile(path, max_bytes=100, kept=5)
    tail = Tail(path)
    for number in range(12):
        file.write(b"%050d\n" % number)
    file.close()
    assert [int(line) for line in everything(tail)] == list(range(12))


def test_predecessors_are_read_only_if_that_is_asked_for(path):
    path.with_name("combined.log.00000001.20260101T000000.1").write_bytes(b"old\n")
    path.write_bytes(b"new\n")
    assert everything(Tail(path)) == [b"new"]
    assert everything(Tail(path, with_rotated=True)) == [b"old", b"new"]


def test_a_file_that_is_truncated_is_read_from_its_start(path):
    path.write_bytes(b"before it\n")
    tail = Tail(path)
    assert everything(tail) == [b"before it"]
    os.truncate(path, 0)
    append(path, b"after\n")
    assert everything(tail) == [b"after"]


def test_a_file_that_is_missing_or_removed_is_read_when_it_comes(path):
    tail = Tail(path)
    assert everything(tail) == []
    path.write_bytes(b"1\n")
    assert everything(tail) == [b"1"]
    append(path, b"2\n")
    path.unlink()
    assert everything(tail) == [b"2"]
    path.write_bytes(b"3\n")
    assert everything(tail) == [b"3"]


def test_a_place_leads_to_its_line(path):
    path.write_bytes("é\n\xff\nlast\n".encode())
    places = [place for place, _ in Tail(path).lines()]
    assert [place.inode for place in places] == [path.stat().st_ino] * 3
    assert [path.read_bytes()[place.offset :].split(b"\n")[0] for place in places] == [
        "é".encode(),
        "ÿ".encode(),
        b"last",
    ]


def test_a_line_that_is_longer_than_the_longest_is_left_out_and_not_its_neighbours(path):
    path.write_bytes(b"1\n" + b"x" * 3 * CHUNK_BYTES + b"\n2\n" + b"y" * 2 * CHUNK_BYTES)
    tail = Tail(path, longest=CHUNK_BYTES)
    assert everything(tail) == [b"1", b"2"]
    append(path, b"y\n3\n")
    assert everything(tail) == [b"3"]


def test_a_line_of_many_parts_is_read_as_one(path):
    path.write_bytes(b"x" * 3 * CHUNK_BYTES + b"\n2\n")
    assert [len(line) for line in everything(Tail(path))] == [3 * CHUNK_BYTES, 1]


def test_who_is_far_behind_goes_on_at_the_beginning_of_a_line_and_knows_how_many_are_left_out(path):
    lines = [b"%09d" % number for number in range(200_000)]
    tail = Tail(path)
    path.write_bytes(b"\n".join(lines[:150_000]) + b"\n")
    read = len(tail.lines())
    path.rename(path.with_name("combined.log.00000001.20260101T000000.1"))
    path.write_bytes(b"\n".join(lines[150_000:]) + b"\n")
    read += len(tail.lines())
    skipped = tail.skip(1_000_005, b"\n")
    assert everything(tail) == lines[-100_000:]
    assert read + skipped == 100_000
    assert tail.skip(0, b"\n") == 0


def test_what_is_skipped_ends_with_a_line(path):
    path.with_name("combined.log.00000001.20260101T000000.1").write_bytes(b"1\n22\n")
    path.write_bytes(b"333\n4444\n")
    for most_behind, left in ((14, [b"1", b"22", b"333", b"4444"]), (13, [b"22", b"333", b"4444"])):
        tail = Tail(path, with_rotated=True)
        tail.skip(most_behind, b"\n")
        assert everything(tail) == left
    for most_behind, left in ((9, [b"333", b"4444"]), (8, [b"4444"]), (5, [b"4444"]), (4, []), (0, [])):
        tail = Tail(path, with_rotated=True)
        tail.skip(most_behind, b"\n")
        assert everything(tail) == left


def test_what_is_counted_is_found_across_the_parts_in_which_it_is_read(path):
    path.write_bytes((b"x" * 9 + b"MARK") * (CHUNK_BYTES // 12) + b"\n")
    assert Tail(path).skip(0, b"MARK") == CHUNK_BYTES // 12


def test_lines_are_sought_in_all_files_wherever_the_parts_end_in_which_they_are_read(path):
    path.with_name("combined.log.00000001.20260101T000000.1").write_bytes(b"a needle\nhay\n")
    filler = b"x" * (CHUNK_BYTES - 10)
    path.write_bytes(filler + b"\nhay needle hay\n" + filler + b"\nno newline after this needle")
    assert list(lines_with(path, b"needle")) == [b"a needle", b"hay needle hay", b"no newline after this needle"]
    assert list(lines_with(path.with_name("none"), b"needle")) == []
