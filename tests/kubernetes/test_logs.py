"""`make logs` follows the pods that there are and those that come later, and prints each of their lines once."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from stack.kubernetes import cluster
from stack.settings import ROOT, Settings
from stack.watch import logs

from tests.fixtures.waiting import eventually
from tests.kubernetes.pods import Pod, kill_process, pods_of, settle

pytestmark = pytest.mark.timeout(900)

PRINTED_WITHIN_SECONDS = 30
NAME = "auth-service"
READERS = "grep -l tail /proc/[0-9]*/comm 2>/dev/null; true"


@contextmanager
def following(file: Path, *arguments: str) -> Iterator[None]:
    """The verb writes what it follows into a file, until it is interrupted as by Ctrl-C; nothing that it has started is left."""
    command = [sys.executable, "-m", "stack", "logs", "--follow", "--service", "auth", *arguments]
    # What a shell starts in the background ignores Ctrl-C, and so would all that this starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with file.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=output, stderr=subprocess.STDOUT)
    signal.signal(signal.SIGINT, before)
    try:
        eventually(lambda: file.stat().st_size > 0, PRINTED_WITHIN_SECONDS, "nothing is printed")
        yield
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert [each for each in children if each.is_running()] == []
    finally:
        process.kill()
        process.wait()


def replace_pods(settings: Settings) -> list[Pod]:
    """Roll the service out, and have a new container in one of the new pods; returns them."""
    old = pods_of(settings, NAME)
    cluster.kubectl(settings, "rollout", "restart", f"deployment/{NAME}")
    settle(settings, old)
    new = pods_of(settings, NAME)
    kill_process(settings, new[0])
    settle(settings)
    return new


def test_the_output_of_pods_that_come_later_is_followed_and_nothing_is_printed_twice(settings, tmp_path):
    file = tmp_path / "printed"

    def printed(pod: str) -> list[str]:
        beginning = f"[pod/{pod}/service] "
        return [line[len(beginning) :] for line in file.read_text().splitlines() if line.startswith(beginning)]

    def said(pod: str, *which: str) -> list[str]:
        return cluster.kubectl(settings, "logs", pod, *which).splitlines()

    with following(file):
        before = {name: said(name) for name in (each["metadata"]["name"] for each in pods_of(settings, NAME))}
        first, *others = (each["metadata"]["name"] for each in replace_pods(settings))
        whole = {first: [*said(first, "--previous"), *said(first)], **{name: said(name) for name in others}}
        assert all(whole.values())
        for name, lines in whole.items():
            eventually(lambda name=name, lines=lines: len(printed(name)) >= len(lines), PRINTED_WITHIN_SECONDS, name)
            assert printed(name)[: len(lines)] == lines
        for name, lines in before.items():
            assert printed(name)[: len(lines)] == lines
            assert len(printed(name)) > len(lines), "the pod says that it stops"


def test_the_log_lines_of_pods_that_come_later_are_followed_and_none_is_printed_twice(settings, tmp_path):
    file = tmp_path / "printed"
    keep = logs.keeps(level="info")

    def in_files(pods: list[Pod]) -> Counter[str]:
        names = [each["metadata"]["name"] for each in pods]
        lines = logs.parsed(cluster.lines(settings, names, "cat /var/log/app/*/combined.log*"))
        return Counter(logs.readable(each, coloured=False) for each in lines if keep(each))

    def printed() -> Counter[str]:
        return Counter(file.read_text().splitlines())

    with following(file, "--level", "info"):
        there = in_files(pods_of(settings, NAME))
        new = replace_pods(settings)
        expected = in_files(new)
        assert expected
        eventually(
            lambda: not expected - printed(), PRINTED_WITHIN_SECONDS, lambda: f"{expected - printed()} are missing"
        )
        assert {line: count for line, count in printed().items() if count != (there | expected).get(line, 1)} == {}

    def readers() -> str:
        return "".join(cluster.lines(settings, [each["metadata"]["name"] for each in pods_of(settings, NAME)], READERS))

    eventually(lambda: readers() == "", PRINTED_WITHIN_SECONDS, lambda: f"{readers()} still runs in a pod")
