"""The page's log lines are those that the services write, found by what they say, in bounded memory."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from page.reading import lines as reading
from page.reading.lines import Lines

from libs.observability import get_logger

TRACE = "0af7651916cd43dd8448eb211c80319c"


def stamped(ago: float = 0.0, **fields: object) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=ago)
    return orjson.dumps({"timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z", **fields}).decode() + "\n"


def write(folder: Path, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "combined.log").open("a") as file:
        file.write("".join(lines))


def messages(found: list[tuple[int, dict[str, object]]]) -> list[object]:
    return [line["message"] for _, line in found]


@pytest.fixture
def memory(folders: dict[str, Path]) -> Lines:
    return Lines(folders)


@pytest.mark.parametrize(
    "wanted",
    [
        {"service": "test-service"},
        {"level": "warning"},
        {"tenant": "0190-"},
        {"user": "77"},
        {"text": 'SPENT "too much"'},
        {"text": "zürich"},
        {"text": "Größe"},
        {"service": "test-service", "level": "error", "tenant": "0190-a", "user": "77", "text": "ledger"},
    ],
    ids=str,
)
async def test_each_filter_finds_the_line_that_a_logger_has_written(configure_lines, folders, tmp_path, wanted):
    configure_lines()
    get_logger("ledger").error(
        'spent "too much"', extra={"tenant_id": "0190-a", "user_id": "77", "place": "Zürich", "was": "größe"}
    )
    other = stamped(service="auth-service", level="info", message="other", tenant_id="0191", note="0190-", user_id="7")
    write(folders["auth-service"], other)
    memory = Lines({"test-service": tmp_path / "logs", **folders})
    await memory.read()
    assert len(memory.find()) == 2
    assert messages(memory.find(**wanted)) == ['spent "too much"']


async def test_lines_of_several_services_come_in_the_order_of_time_and_the_newest_are_found(memory, folders):
    auth, budget = folders.values()
    write(auth, stamped(3, message=1), stamped(1, message=3))
    write(budget, stamped(2, message=2))
    await memory.read()
    assert messages(memory.find()) == [1, 2, 3]
    assert messages(memory.find(limit=2)) == [2, 3]


async def test_who_has_seen_a_number_asks_only_for_the_lines_after_it(memory, folders):
    auth = folders["auth-service"]
    assert (memory.first, memory.last) == (1, 0)
    write(auth, stamped(message=1), stamped(message=2))
    await memory.read()
    seen = memory.last
    assert memory.find(after=seen) == []
    write(auth, stamped(message=3), stamped(message=4)[:20])
    await memory.read()
    [(number, line)] = memory.find(after=seen)
    assert (number, line["message"]) == (seen + 1, 3) == (memory.last, 3)
    assert memory.find(after=seen, text="nobody wrote this") == []
    assert messages(memory.find(after=0)) == [1, 2, 3]
    assert memory.first == 1


async def test_the_oldest_go_when_there_are_too_many_or_too_much(memory, folders, monkeypatch):
    auth = folders["auth-service"]
    monkeypatch.setattr(reading, "MOST_LINES", 3)
    write(auth, *(stamped(9 - number, message=number) for number in range(5)))
    await memory.read()
    assert messages(memory.find()) == [2, 3, 4]
    assert [number for number, _ in memory.find()] == [3, 4, 5]
    assert (memory.first, memory.last) == (3, 5)
    monkeypatch.setattr(reading, "MOST_BYTES", 150)
    write(auth, stamped(message="x" * 60))
    await memory.read()
    assert messages(memory.find()) == ["x" * 60]


async def test_what_is_older_than_an_hour_is_not_kept(memory, folders):
    write(folders["auth-service"], stamped(3700, message="old"), stamped(message="new"))
    await memory.read()
    assert messages(memory.find()) == ["new"]


async def test_the_lines_of_a_trace_come_from_memory_and_of_an_older_one_from_the_files(memory, folders, monkeypatch):
    auth, budget = folders.values()
    old = "1" * 32
    write(auth, stamped(500, message="old", trace_id=old), stamped(300, message="later", trace_id=TRACE))
    write(budget, stamped(310, message="earlier", trace_id=TRACE), stamped(message=TRACE))
    await memory.read()
    assert [line["message"] for line in await memory.of_trace(TRACE)] == ["earlier", "later"]
    assert [line["message"] for line in await memory.of_trace(old)] == ["old"]
    monkeypatch.setattr(reading, "MOST_LINES", 2)
    await memory.read()
    assert [line["message"] for line in await memory.of_trace(TRACE)] == ["earlier", "later"]
    assert await memory.of_trace("2" * 32) == []
    assert await memory.of_trace("") == []


async def test_the_files_are_not_read_again_for_a_trace_that_is_whole_in_memory(memory, folders):
    auth = folders["auth-service"]
    write(auth, stamped(300, message="before"), stamped(message="here", trace_id=TRACE))
    await memory.read()
    (auth / "combined.log").unlink()
    assert [line["message"] for line in await memory.of_trace(TRACE)] == ["here"]


async def test_garbage_is_left_out_and_bytes_that_are_no_text_are_shown_as_such(memory, folders):
    auth = folders["auth-service"]
    auth.mkdir()
    begin = stamped(message="x").encode()[:-5]
    garbage = b"\n\n{\n[]\n7\nnull\n" + b"[" * 99_999 + b'\n{"timestamp": 5, "message": "no time"}\n'
    (auth / "combined.log").write_bytes(garbage + begin + b'"caf\xe9"}\n' + b"y" * reading.LONGEST + b"y\n")
    write(auth, stamped(message="half")[:-5])
    await memory.read()
    assert messages(memory.find()) == ["caf\ufffd", "no time"]


async def test_lines_that_come_faster_than_they_are_read_are_skipped_and_counted(memory, folders, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BEHIND", 10_000)
    auth, budget = folders.values()
    write(auth, stamped(120, message="first"))
    await memory.read()
    write(auth, stamped(message="lost", trace_id=TRACE), *(stamped(message=number) for number in range(1000)))
    write(budget, stamped(message="kept", trace_id=TRACE))
    await memory.read()
    found = memory.find(limit=9999)
    assert 2 < len(found) < 200
    assert len(found) + memory.skipped == 1003
    assert 999 in messages(found)
    assert {line["message"] for line in await memory.of_trace(TRACE)} == {"lost", "kept"}


async def test_what_was_written_before_the_page_began_is_not_missed(folders, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BEHIND", 100)
    write(folders["auth-service"], *(stamped(message=number) for number in range(9)))
    memory = Lines(folders)
    await memory.read()
    assert memory.skipped == 0
    assert messages(memory.find()) == [8]
