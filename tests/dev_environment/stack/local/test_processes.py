"""The processes of one stack are found by their command lines, and end even if they do not want to."""

import subprocess
import sys

import psutil
from stack.local import processes


def test_a_process_that_ignores_the_request_to_end_is_killed():
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        asked = psutil.Process(process.pid)
        processes.end([asked], seconds=0.2)
        assert asked.wait() == -9


def test_only_the_processes_of_this_state_folder_are_the_stacks(tmp_path):
    waiting = "import sys; sys.stdin.read()"
    mine, others = (f"all-erp={tmp_path / name}" for name in ("mine", "others"))
    with (
        subprocess.Popen([sys.executable, "-X", mine, "-c", waiting], stdin=subprocess.PIPE) as first,
        subprocess.Popen([sys.executable, "-X", others, "-c", waiting], stdin=subprocess.PIPE) as second,
    ):
        try:
            assert [each.pid for each in processes.of_stack(tmp_path / "mine")] == [first.pid]
        finally:
            first.stdin.close()
            second.stdin.close()
