"""Lines reach their files whole, in order and once, and neither a disk nor a pipe holds anybody up."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from libs.observability import get_logger
from libs.observability.files import LineWriter, RotatingFile, Stream, rotated
from tests.fixtures.telemetry import read_lines
from tests.libs.observability.conftest import ROOT


def written(path: Path) -> list[str]:
    """The lines of a file and its predecessors, oldest first."""
    return [line for file in (*rotated(path), path) for line in file.read_text().splitlines()]


class Held:
    """A sink that takes nothing until it is let go, like a disk that stalls."""

    def __init__(self) -> None:
        self.entered, self.free = threading.Event(), threading.Event()
        self.data = b""

    def write(self, data: bytes) -> int:
        self.entered.set()
        self.free.wait(10)
        self.data += data
        return 0


@pytest.fixture
def lost() -> list[int]:
    return []


@pytest.fixture
def writer(lost: list[int]) -> Iterator[LineWriter]:
    made = LineWriter(1_000_000, lost.append)
    yield made
    made.write_through()


def test_rotation_loses_nothing_and_keeps_the_order(tmp_path, writer, lost):
    path = tmp_path / "combined.log"
    file = RotatingFile(path, max_bytes=2000, kept=1000)
    writer.buffer()
    for number in range(5000):
        writer.add(file, b"line %d\n" % number)
        if number % 100 == 0:
            writer.flush()
    writer.flush()
    assert written(path) == [f"line {number}" for number in range(5000)]
    assert len(rotated(path)) > 10
    assert lost == []


def test_old_files_are_bounded(tmp_path):
    file = RotatingFile(tmp_path / "combined.log", max_bytes=10, kept=3)
    for number in range(20):
        file.write(f"line number {number}\n".encode())
    assert written(tmp_path / "combined.log") == [f"line number {number}" for number in (16, 17, 18, 19)]


def test_a_file_that_was_moved_or_removed_is_opened_anew(tmp_path):
    path = tmp_path / "combined.log"
    file = RotatingFile(path, max_bytes=1000, kept=3)
    file.write(b"one\n")
    path.rename(tmp_path / "elsewhere")
    file.write(b"two\n")
    path.unlink()
    file.write(b"three\n")
    assert (tmp_path / "elsewhere").read_text() == "one\n"
    assert path.read_text() == "three\n"


def test_two_processes_may_share_a_file(tmp_path):
    program = (
        "import sys; from pathlib import Path; from libs.observability.files import RotatingFile\n"
        "file = RotatingFile(Path(sys.argv[1]), 1000, 100000)\n"
        "for number in range(2000): assert file.write(f'{sys.argv[2]} {number}\\n'.encode()) == 0"
    )
    path = tmp_path / "combined.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), name], cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
        for name in ("a", "b")
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    lines = written(path)
    assert sorted(lines) == sorted(f"{name} {number}" for name in ("a", "b") for number in range(2000))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_counted_and_raises_nothing(writer, lost):
    full = os.open("/dev/full", os.O_WRONLY)
    for _ in range(3):
        writer.add(Stream(full), b"gone\n", urgent=True)
    assert sum(lost) == 3
    os.close(full)


def test_a_line_that_was_cut_by_a_full_disk_is_taken_back(tmp_path):
    program = (
        "import resource, signal, sys; from pathlib import Path; from libs.observability.files import RotatingFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "file = RotatingFile(Path(sys.argv[1]), 10000, 3)\n"
        "print([file.write((str(number) * 29 + '\\n').encode() * 2) for number in range(3)])"
    )
    path = tmp_path / "combined.log"
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == [0, 1, 2]
    assert path.read_text().splitlines() == ["0" * 29, "0" * 29, "1" * 29]


def test_what_exceeds_the_buffer_is_dropped_and_counted(lost):
    held, writer = Held(), LineWriter(100, lost.append)
    writer.buffer()
    writer.add(held, b"first\n", urgent=True)
    assert held.entered.wait(10)
    for _ in range(20):
        writer.add(held, b"0123456789\n")
    assert sum(lost) == 11
    held.free.set()
    writer.write_through()
    assert held.data.count(b"\n") == 10


def test_lines_that_belong_together_are_taken_or_dropped_and_counted_together(lost):
    held, writer = Held(), LineWriter(10, lost.append)
    writer.buffer()
    writer.add(held, b"more than ten bytes\nwhile nothing waits\n", urgent=True)
    assert held.entered.wait(10)
    writer.add(held, b"one\n")
    writer.add(held, b"one too many\nand\nmore\n")
    held.free.set()
    writer.write_through()
    assert held.data.splitlines() == [b"more than ten bytes", b"while nothing waits", b"one"]
    assert lost == [3]


def test_a_stalled_disk_holds_up_neither_a_caller_nor_the_end(lost):
    held, writer = Held(), LineWriter(1_000_000, lost.append)
    writer.buffer()
    writer.add(held, b"stalled\n", urgent=True)
    assert held.entered.wait(10)
    writer.add(held, b"returns at once\n", urgent=True)
    writer.flush(0.01)
    held.free.set()
    writer.write_through()
    assert held.data == b"stalled\nreturns at once\n"


def test_until_and_after_buffering_a_line_is_written_before_add_returns(tmp_path, writer):
    path = tmp_path / "combined.log"
    file = RotatingFile(path, 1000, 3)
    writer.add(file, b"before\n")
    assert path.read_text() == "before\n"
    writer.buffer()
    writer.add(file, b"during\n")
    writer.write_through()
    writer.add(file, b"after\n")
    assert path.read_text() == "before\nduring\nafter\n"


def test_buffering_ends_with_the_last_of_those_who_began_it(lost):
    held, writer = Held(), LineWriter(1_000_000, lost.append)
    held.free.set()
    writer.buffer()
    writer.buffer()
    writer.unbuffer()
    held.free.clear()
    writer.add(held, b"written by the thread\n", urgent=True)
    assert held.entered.wait(10)
    assert held.data == b""
    held.free.set()
    writer.unbuffer()
    writer.add(held, b"written by its caller\n")
    assert held.data == b"written by the thread\nwritten by its caller\n"


def test_a_forked_child_writes_its_own_lines_and_not_its_parents(tmp_path, run):
    result = run(
        "import os, sys; from pathlib import Path\n"
        "from libs.observability.files import LineWriter, RotatingFile\n"
        "writer, file = LineWriter(10_000, print), RotatingFile(Path('fork.log'), 10_000, 3)\n"
        "writer.buffer(); writer.add(file, b'parent\\n')\n"
        "child = os.fork()\n"
        "if child == 0: writer.add(file, b'child\\n'); writer.write_through(); os._exit(0)\n"
        "os.waitpid(child, 0)"
    )
    assert (result.returncode, "Traceback" in result.stderr) == (0, False)
    assert sorted((tmp_path / "fork.log").read_text().splitlines()) == ["child", "parent"]


def test_lost_lines_are_a_metric(configure_lines, monkeypatch):
    before = REGISTRY.get_sample_value("log_lines_dropped_total")
    configure_lines()
    monkeypatch.setattr(RotatingFile, "write", lambda _, data: data.count(b"\n"))
    get_logger("app").info("the disk takes nothing")
    assert REGISTRY.get_sample_value("log_lines_dropped_total") == before + 1


def test_a_pipe_that_nobody_reads_holds_up_no_line_after_the_end(lost):
    held, writer = Held(), LineWriter(100, lost.append)
    writer.buffer()
    writer.add(held, b"held up\n", urgent=True)
    assert held.entered.wait(10)
    writer.write_through()
    writer.add(held, b"a last word\n")
    assert (lost, held.data) == ([1], b"")
    held.free.set()


def test_a_clock_that_is_set_back_costs_no_newer_file(tmp_path):
    path = tmp_path / "combined.log"
    for number, name in enumerate(("00000007.20990101T000000.1", "20980101T000000.000000.17")):
        file = path.with_name(f"{path.name}.{name}")
        file.write_text(f"early {number}\n")
        os.utime(file, (4e9, 4e9))
    file = RotatingFile(path, max_bytes=10, kept=3)
    for number in range(20):
        file.write(f"line number {number}\n".encode())
        assert written(path)[-1] == f"line number {number}"
    assert written(path) == [f"line number {number}" for number in (16, 17, 18, 19)]


def test_a_descriptor_that_has_become_another_file_is_left_alone(tmp_path):
    reading, writing = os.pipe()
    stream = Stream(writing)
    assert stream.write(b"to the pipe\n") == 0
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    os.dup2(other, writing, inheritable=False)  # as the next file that Python opens
    assert stream.write(b"to nobody\n") == 1
    os.close(writing)
    assert stream.write(b"to nobody\n") == 1
    os.close(other)
    assert os.read(reading, 100) == b"to the pipe\n"
    assert (tmp_path / "other").read_bytes() == b""
    os.close(reading)


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2), (0,)])
def test_a_program_that_starts_with_closed_descriptors_writes_to_its_files_only(variables, tmp_path, closed):
    program = (
        "import os, socket; from libs.observability import start, get_logger\n"
        "theirs, peer = socket.socketpair(); peer.setblocking(False)\n"
        "telemetry = start(); log = get_logger('program'); log.warning('said')\n"
        "os.system('echo not a line; echo not a line >&2')\n"
        "telemetry.shutdown()\n"
        "try: received = peer.recv(1000)\n"
        "except BlockingIOError: received = b''\n"
        "open('received', 'wb').write(received)\n"
    )

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    options = {"env": variables | {"OTEL_TRACES_EXPORTER": "none"}, "cwd": tmp_path, "preexec_fn": close}
    process = subprocess.Popen([sys.executable, "-c", program], **options)
    assert process.wait(30) == 0
    assert (tmp_path / "received").read_bytes() == b""
    assert [line["message"] for line in read_lines(tmp_path / "logs")] == ["said"]
