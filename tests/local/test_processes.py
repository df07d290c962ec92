import os
import socket
import subprocess
import sys

import pytest
from local import processes


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_names_its_process(listener):
    assert not processes.is_free(listener)
    assert f"(process {os.getpid()})" in processes.holder(listener)


def test_a_port_is_free_when_nobody_listens():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    assert processes.is_free(port)


def test_a_process_that_ignores_the_request_to_end_is_ended():
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        processes.end([process.pid], seconds=0.2)
        assert process.wait() == -9


def test_only_the_processes_of_this_state_folder_are_the_stacks(tmp_path):
    waiting = "import sys; sys.stdin.read()"
    mine, others = (f"all-erp={tmp_path / name}" for name in ("mine", "others"))
    with (
        subprocess.Popen([sys.executable, "-X", mine, "-c", waiting], stdin=subprocess.PIPE) as first,
        subprocess.Popen([sys.executable, "-X", others, "-c", waiting], stdin=subprocess.PIPE) as second,
    ):
        try:
            assert processes.of_stack(tmp_path / "mine") == [first.pid]
        finally:
            first.stdin.close()
            second.stdin.close()
