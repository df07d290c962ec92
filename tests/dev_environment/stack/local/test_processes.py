"""The processes of one stack are found by their command lines, and end even if they do not want to."""

import subprocess
import sys

import psutil
import pytest
from stack.local import processes


def test_a_process_that_ignores_the_request_to_end_is_killed():
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        asked = psutil.Process(process.pid)
        processes.end([asked], seconds=0.2)
        assert asked.wait() == -9


@pytest.mark.parametrize(
    ("argument", "is_the_stacks"),
    [
        ("all-erp={}", True),
        ("all-erp={}-of-others", False),
        ("--config={}/run/jaeger/config.yaml", True),
        ("--config.file={}/watchers/alertmanager/alertmanager.yml", True),
        ("--config={}-of-others/run/jaeger/config.yaml", False),
        ("{}/run/jaeger/config.yaml", False),  # an editor
    ],
)
def test_only_the_processes_of_this_state_folder_are_the_stacks(tmp_path, argument, is_the_stacks):
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", argument.format(tmp_path / "a state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            found = [each.pid for each in processes.of_stack(tmp_path / "a state")]
            assert found == [process.pid] * is_the_stacks
        finally:
            process.stdin.close()
