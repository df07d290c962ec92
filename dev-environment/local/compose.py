"""The verbs of the Docker mode: the same ones as `stack` has, by docker compose."""

import json
import shutil
import subprocess
from collections.abc import Sequence

from local import mode, report
from local.report import say
from local.settings import ROOT, SERVICES, Service, Settings
from local.stack import StackError

FILES = ("docker-compose.dev.yml", "docker-compose.devops.yml")
SECONDS_TO_BE_READY = 300


def up(settings: Settings) -> None:
    """Build what has changed, start what does not run, and wait until all of it is healthy."""
    _must_answer()
    say("Building the images")
    _compose("build", "--quiet")
    say("Starting the containers and waiting until they are healthy")
    _compose("up", "--detach", "--wait", "--wait-timeout", str(SECONDS_TO_BE_READY))
    report.summary(settings, docker=True)


def is_running(settings: Settings) -> bool:
    """Whether any container runs; False where there is no Docker to run it."""
    try:
        _must_answer()
    except StackError:
        return False
    return bool(_compose("ps", "--quiet", capture=True).strip())


def down(settings: Settings) -> None:
    """Stop and remove the containers; data stays in its volumes."""
    _compose("down")
    say("The stack has stopped; its data stays")


def status(settings: Settings) -> bool:
    """Print what runs; returns whether every service is healthy."""
    _compose("ps", "--all")
    listed = _compose("ps", "--format", "json", capture=True).splitlines()
    healthy = {each["Service"] for each in map(json.loads, listed) if each["Health"] == "healthy"}
    return healthy >= {service.name for service in SERVICES}


def restart(settings: Settings, services: Sequence[Service]) -> None:
    """Start services anew with the settings and the code of now."""
    _compose("up", "--detach", "--build", "--force-recreate", "--no-deps", "--wait", *(each.name for each in services))


def migrate(settings: Settings, services: Sequence[Service]) -> None:
    """Bring the databases to their newest revision: all of them, which costs nothing where there is nothing to do."""
    _compose("run", "--rm", "--build", "prepare")


def clean(settings: Settings) -> None:
    """Remove the containers, their data and the images that were built, and say so."""
    _compose("down", "--volumes", "--rmi", "local")
    mode.forget(settings)
    say("Removed the containers, their volumes and the images that were built here")


def logs(services: Sequence[Service], *, follow: bool) -> None:
    """The containers' own output."""
    _compose("logs", *(["--follow"] if follow else []), *(each.name for each in services))


def trace(settings: Settings, trace_id: str | None) -> None:
    """Say where Jaeger shows the trace, or the last ones."""
    page = f"trace/{trace_id}" if trace_id else "search?limit=20&lookback=1h&service=budget-service"
    say(f"http://localhost:{settings.values['JAEGER_UI_PORT']}/{page}")


def _must_answer() -> None:
    if not shutil.which("docker"):
        raise StackError("MODE=docker needs Docker, which is not installed; `make up MODE=local` runs without it.")
    for question, cure in (
        (("info",), "No Docker Engine answers: start it, or use `make up MODE=local`."),
        (("compose", "version"), "Docker's compose plugin is missing or too old: version 2.20 or later is needed."),
    ):
        if subprocess.run(["docker", *question], capture_output=True, check=False).returncode:
            raise StackError(cure)


def _compose(*arguments: str, capture: bool = False) -> str:
    files = [part for file in FILES for part in ("--file", file)]
    command = ["docker", "compose", *files, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE if capture else None, text=True, check=False)
    if done.returncode:
        raise StackError(f"`{' '.join(command)}` failed (see above). `make logs` shows what the containers say.")
    return done.stdout or ""
