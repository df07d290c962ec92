"""The log lines of containers, by the shell that would read them there."""

import subprocess
import threading
from collections.abc import Iterator

from stack.docker import log_volume
from stack.services import BUDGET

from tests.fixtures.waiting import eventually


def test_the_lines_of_a_replica_that_comes_later_are_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(log_volume, "LOGS", str(tmp_path))
    folder = tmp_path / BUDGET.name
    folder.mkdir()
    (folder / "combined.log").write_text("long ago\nbefore\n")
    printed: list[str] = []
    processes: list[subprocess.Popen[str]] = []

    def by_a_shell(command: str) -> Iterator[str]:
        process = subprocess.Popen(["sh", "-c", f"exec {command}"], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        yield from process.stdout

    def follow() -> None:
        printed.extend(line.strip() for line in log_volume.lines([BUDGET], 1, by_a_shell))

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        eventually(lambda: printed == ["before"], 30, "the last line is not shown")
        for name in ("2", "3"):
            (folder / name).mkdir()
            (folder / name / "combined.log").write_text(f"of {name}\n")
            eventually(lambda name=name: f"of {name}" in printed, 30, "a replica that has come is not followed")
    finally:
        for process in processes:  # none, if the shell could not be started
            process.terminate()
            process.wait()
        thread.join(30)
    assert printed == ["before", "of 2", "of 3"]
