"""Processes that log at the same time have a folder each, and those that come after them use the same ones."""

import errno
import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.observability.logs.folder import MOST_FOLDERS, own_folder

PROGRAM = (
    "from libs.observability import get_logger, start\nstart()\nget_logger('app').info('here')\nprint()\ninput()\n"
)


@pytest.fixture
def begin(variables: dict[str, str]) -> Callable[[], "subprocess.Popen[str]"]:
    """Starts a program that has written a line and goes on."""

    def execute() -> "subprocess.Popen[str]":
        environment = variables | {"OTEL_TRACES_EXPORTER": "none"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, text=True, **pipes)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    return execute


def written(folder: Path) -> dict[str, int]:
    """How many lines each file has, by its path below the folder."""
    return {str(file.relative_to(folder)): len(file.read_text().splitlines()) for file in folder.rglob("combined.log")}


def test_each_process_has_files_of_its_own_and_leaves_them_to_the_next_one(begin, variables):
    folder = Path(variables["LOG_DIR"])
    first, second = begin(), begin()
    assert written(folder) == {"combined.log": 1, "2/combined.log": 1}
    first.kill()
    first.wait()
    third, fourth = begin(), begin()
    assert written(folder) == {"combined.log": 2, "2/combined.log": 1, "3/combined.log": 1}
    for process in (second, third, fourth):
        process.kill()
        process.wait()


def test_a_process_that_sets_up_its_logging_again_keeps_its_folder(tmp_path):
    assert own_folder(tmp_path) == own_folder(tmp_path) == tmp_path


def test_where_there_are_no_locks_processes_share_a_folder(tmp_path, monkeypatch):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert own_folder(tmp_path) == tmp_path


def test_where_every_lock_is_refused_the_search_ends(tmp_path, monkeypatch):
    def refuse(descriptor: int, operation: int) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match=f"all {MOST_FOLDERS} folders"):
        own_folder(tmp_path)


def test_a_second_process_that_has_no_folder_of_its_own_says_so_once_and_goes_on(begin, run, variables):
    folder = Path(variables["LOG_DIR"])
    first = begin()
    (folder / "2").touch()  # where its folder would be
    result = run(
        "from libs.observability import get_logger, start\nstart()\nget_logger('app').info('goes on')",
        OTEL_TRACES_EXPORTER="none",
    )
    first.kill()
    first.wait()
    assert (result.returncode, result.stderr.count("LOG_DIR cannot be written")) == (0, 1)
    assert "goes on" in result.stderr
    assert "Traceback" not in result.stderr
    assert written(folder) == {"combined.log": 1}
