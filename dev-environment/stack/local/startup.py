"""The way from nothing to five ready services, and back: what `make up`, `restart` and `down` do in local mode."""

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stack import doctor, environment, postgres, report
from stack.errors import StackError
from stack.local import checks, launch, processes, readiness, supervisor, watchers
from stack.local.readiness import Silence
from stack.report import say
from stack.services import ANSWERING, PAGE, Program, Service
from stack.settings import ROOT, Settings

SECONDS_TO_BE_READY = 60.0
SECONDS_FOR_WATCHERS = 20.0


def start_supervisor(settings: Settings) -> None:
    """Start supervisord and PostgreSQL, which is created first if there is none."""
    if processes.of_stack(settings.state):
        say("Ending what is left of an earlier start")
    stop(settings)
    doctor.require(checks.findings(settings))
    watchers.choose(settings)
    server = _server(settings)
    if not server.data.exists():
        say(f"Creating the database server in {server.folder}")
    postgres.create(server)
    for service in settings.programs:
        for kind in ("logs", "traces"):
            (settings.state / kind / service.name).mkdir(parents=True, exist_ok=True)
    say(f"Starting PostgreSQL on port {server.port}")
    supervisor.start(settings, server)
    _fingerprint_file(settings).write_text(_fingerprint(settings))


def prepare_databases(settings: Settings) -> None:
    """Create the databases, migrate them and bootstrap auth, in a process of its own.

    It takes seconds, so it is left out where this code has done it for these settings, and no service has failed since.
    """
    mark, wanted = _mark(settings), _preparation(settings)
    if mark.exists() and mark.read_text() == wanted:
        return
    say("Bringing the five databases up to date")
    done = subprocess.run(
        [sys.executable, "-m", "stack.prepare"],
        env=environment.of_preparation(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        output = (done.stdout + done.stderr).splitlines()
        if len(output) > 1:  # a traceback, which the server's output may explain; a single line explains itself
            output += _output(settings.run / "postgres.out")[-5:]
        raise StackError(
            f"{report.tail(output)}\n\nThe databases could not be prepared (see above). Fix the cause and run `make up` "
            "again: the data is as it was."
        )
    mark.write_text(wanted)


def start(settings: Settings, programs: Sequence[Program]) -> None:
    """Start those programs that do not run, and wait until the services and the page are ready; the others come last."""
    if answering := [each for each in ANSWERING if each in programs]:
        _start(settings, answering)
        _wait_until_ready(settings, answering)
    _start(settings, [each for each in programs if each not in ANSWERING])


def start_watchers(settings: Settings) -> None:
    """Start those watchers that do not run; does not wait until they are up."""
    if resting := _resting(settings, watchers.started(settings)):
        say(f"Starting {', '.join(each.name for each in resting)}")
        _start(settings, resting)


def states_of_watchers(settings: Settings, seconds: float = 0) -> dict[str, Silence | None]:
    """Why each watcher does not answer, if it does not; waits `seconds` for those that start."""
    deadline = time.monotonic() + seconds
    while True:
        known = supervisor.states(settings)
        there = watchers.started(settings)
        waiting = {each.name: reason for each, reason in readiness.not_ready(settings, there).items()}
        ended = [name for name in waiting if known[name]["statename"] not in ("STARTING", "RUNNING")]
        if len(ended) == len(waiting) or time.monotonic() >= deadline:
            silent = {
                name: Silence(_last_words(settings.run / f"{name}.out") or reason, name in ended)
                for name, reason in waiting.items()
            }
            left_out = {name: Silence(reason, True) for name, reason in watchers.left_out(settings).items()}
            return {each.name: silent.get(each.name) for each in there} | left_out
        time.sleep(0.1)


def _last_words(file: Path) -> str:
    said = [line.strip() for line in _output(file) if line.strip()]
    return f"{said[-1]} (the end of {file})" if said else ""


def _start(settings: Settings, programs: Sequence[Program]) -> None:
    for program in _resting(settings, programs):
        supervisor.start_service(settings, program)


def _resting(settings: Settings, programs: Sequence[Program]) -> list[Program]:
    known = supervisor.states(settings)
    return [each for each in programs if known[each.name]["statename"] not in ("RUNNING", "STARTING")]


def _wait_until_ready(settings: Settings, services: Sequence[Service]) -> None:
    say(f"Waiting for {', '.join(service.name for service in services)}")
    started, waiting = time.monotonic(), list(services)
    while waiting:
        still = readiness.not_ready(settings, waiting)
        for service in waiting:
            if service not in still:
                say(f"  {service.name} is ready ({time.monotonic() - started:.1f} s)")
        waiting = [service for service in waiting if service in still]
        known = supervisor.states(settings)
        for service in waiting:
            if known[service.name]["statename"] in ("BACKOFF", "FATAL"):
                raise _failure(settings, service, "ends as soon as it is started")
            if time.monotonic() - started > SECONDS_TO_BE_READY:
                raise _failure(settings, service, f"is not ready after {SECONDS_TO_BE_READY:.0f} s: {still[service]}")
        time.sleep(0.1)


def stop(settings: Settings) -> None:
    """End everything that runs for this state folder, also what a broken start has left."""
    if supervisor.is_running(settings):
        supervisor.shut_down(settings)
    processes.end(processes.of_stack(settings.state))
    with contextlib.suppress(PermissionError, postgres.PostgresError):
        if (postgres.home(settings.state / "postgres") / "data" / "postmaster.pid").exists():
            postgres.stop(_server(settings))


def is_current(settings: Settings) -> bool:
    """Whether the running stack was started with these settings, and nobody killed the command that started it."""
    file = _fingerprint_file(settings)
    return file.exists() and file.read_text() == _fingerprint(settings)


def remove(folder: Path) -> bool:
    """Remove a folder; returns whether there was one. Who is killed meanwhile leaves no half of it under its name."""
    going = folder.with_name(f"{folder.name}.removed")
    there = [path for path in (going, folder) if path.exists()]
    for path in there:
        if path == folder:
            folder.rename(going)
        shutil.rmtree(going)
    return bool(there)


def _server(settings: Settings) -> postgres.Server:
    password = settings.values["POSTGRES_PASSWORD"]
    return postgres.at(settings.state / "postgres", port=settings.port("POSTGRES_PORT"), password=password)


def _fingerprint(settings: Settings) -> str:
    # It changes with anything that would start a service in another way: its command, or its environment.
    how = [
        (launch.command(each, settings), {**settings.from_file, **environment.decided(each, settings)})
        for each in settings.local_programs
    ]
    watching = settings.values["WATCHERS"], watchers.ports(settings, watchers.WATCHERS)
    ports = settings.values["POSTGRES_PORT"], settings.values[PAGE.port_variable]
    return hashlib.sha256(json.dumps([how, ports, watching], sort_keys=True).encode()).hexdigest()


def _mark(settings: Settings) -> Path:
    # It stands in the data, so that it goes with them.
    return _server(settings).data / "prepared"


def _preparation(settings: Settings) -> str:
    # It changes with the code and the packages of libs, services and this package, and with any setting.
    folders = ("libs", "services", "dev-environment/stack")
    code = [path for folder in folders for kind in ("*.py", "requirements.txt") for path in (ROOT / folder).rglob(kind)]
    how = environment.of_preparation(settings, {}), settings.values
    found = hashlib.sha256(json.dumps(how, sort_keys=True).encode())
    for path in sorted(code):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _fingerprint_file(settings: Settings) -> Path:
    return settings.run / "fingerprint"


def _failure(settings: Settings, service: Service, what: str) -> StackError:
    _mark(settings).unlink(missing_ok=True)  # the next start looks at the databases again
    file = settings.run / f"{service.name}.out"
    return StackError(
        f"{report.tail(_output(file))}\n\n{service.name} {what}. Above is the end of its output, {file}. "
        f"Fix the cause, then `make restart SERVICE={service.short}`; `make down` stops the others."
    )


def _output(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.exists() else []
