"""The stack in a cluster: started by the verbs, unchanged by a second start, and its books right after pods were killed.

It runs in the current context, if that is a cluster of this machine, and ends with `make clean`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from stack import environment
from stack.kubernetes import cluster, overlay
from stack.kubernetes.cluster import NAME
from stack.services import SERVICES
from stack.settings import ROOT, Settings, read

from tests.chaos.books import judge
from tests.chaos.load import Load
from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.timeout(900)

KILLED = ("budget-service", "system-service", "rabbitmq", "postgres")
WORK_SECONDS = 5
BACK_WITHIN_SECONDS = 120


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a stack with a state of its own, which runs in the cluster."""
    given = {"MODE": "kubernetes", "STATE_DIR": str(tmp_path_factory.mktemp("stack"))}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        settings = read()
        if not cluster.is_installed() or not cluster.loader(settings):
            missing("the current context of kubectl is no cluster of this machine")
        try:
            verb("up")
            yield settings
        finally:
            verb("clean")


def verb(*arguments: str) -> str:
    """What a verb prints, as it prints it; it has to succeed."""
    command = [sys.executable, "-m", "stack", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def pods(settings: Settings, name: str) -> set[str]:
    return {each["metadata"]["uid"] for each in cluster.found(settings, "pods", f"--selector={NAME}={name}")}


def test_the_demo_plays_its_story(settings):
    assert "trace" in verb("run", "--", "python", "-m", "libs.journey")


def test_a_second_start_changes_nothing(settings):
    before = pods(settings, "auth-service")
    command = cluster.command(settings, "diff", *cluster.FIELDS, "--filename=-")
    done = subprocess.run(command, input=overlay.render(settings), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    verb("up")
    assert pods(settings, "auth-service") == before


def test_everything_is_ready_and_says_so(settings):
    assert "not ready" not in verb("status")


def test_log_lines_of_all_services_are_found_by_their_level(settings):
    said = verb("logs", "--level", "info", "--no-follow")
    assert [each.name for each in SERVICES if f"\n{each.name}" not in f"\n{said}"] == []


def test_killed_pods_are_replaced_and_no_event_is_lost(settings):
    urls, login = environment.of_client(settings), settings.values
    with Load(
        {each.short: urls[f"SERVICES__{each.short.upper()}"] for each in SERVICES}, login, 1, 3
    ).running() as load:
        for name in KILLED:
            time.sleep(WORK_SECONDS)
            before = pods(settings, name)
            cluster.kubectl(settings, "delete", "pods", f"--selector={NAME}={name}", "--grace-period=0", "--force")
            eventually(
                lambda before=before, name=name: not before & pods(settings, name) and not cluster.unfinished(settings),
                BACK_WITHIN_SECONDS,
                f"{name} has not been replaced",
            )
        time.sleep(WORK_SECONDS)
    judged = judge(load.ledger, load.found())
    assert load.surprises == []
    assert (judged.lost, judged.doubled, judged.money) == ({}, {}, [])
    assert sum(bool(write.id) for write in load.ledger) > 0
