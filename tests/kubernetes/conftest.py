"""The cluster of the current context, if that is on this machine, and the stack in it: one for all tests, gone when they end."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from stack.kubernetes import cluster
from stack.settings import ROOT, Settings, read

from tests.fixtures.strict import missing

Verb = Callable[..., str]


@pytest.fixture(scope="session")
def verb() -> Verb:
    """What a verb prints, as it prints it; it has to succeed: `verb("logs", "--level", "info")`."""

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "stack", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def must_be_on_this_machine(settings: Settings) -> None:
    """Skip the test if the cluster that these settings lead to is none of this machine."""
    if not cluster.is_installed() or not cluster.loader(settings):
        missing("the current context of kubectl is no cluster of this machine")


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, verb: Verb) -> Iterator[Settings]:
    """The settings of a stack with a state of its own, which runs in the cluster."""
    given = {"MODE": "kubernetes", "STATE_DIR": str(tmp_path_factory.mktemp("stack"))}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        settings = read()
        must_be_on_this_machine(settings)
        try:
            verb("up")
            yield settings
        finally:
            verb("clean")
