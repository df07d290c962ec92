"""The verbs of the local mode: up, down, status, restart, migrate and clean."""

import contextlib
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from local import doctor, environment, launch, postgres, processes, readiness, report, supervisor
from local.report import say
from local.settings import ROOT, SERVICES, Service, Settings

SECONDS_TO_BE_READY = 60.0


class StackError(Exception):
    """The stack could not do what was asked; the message says why and what to do."""


def up(settings: Settings) -> None:
    """Start what does not run, wait until all of it is ready, and print what there is. A second run changes nothing."""
    with _alone(settings):
        if supervisor.is_running(settings) and _fingerprint_file(settings).read_text() != _fingerprint(settings):
            say("The settings have changed since the stack was started: it is started anew")
            _stop(settings)
        if supervisor.is_running(settings):
            if not readiness.not_ready(settings, SERVICES):
                say("The stack is running already")
                report.summary(settings)
                return
        else:
            _start_from_nothing(settings)
        _prepare(settings)
        _start_services(settings, SERVICES)
        report.summary(settings)


def is_running(settings: Settings) -> bool:
    """Whether anything of the stack runs."""
    return supervisor.is_running(settings) or bool(processes.of_stack(settings.state))


def down(settings: Settings) -> None:
    """Stop all processes, the services first; data, logs and traces stay."""
    with _alone(settings):
        was_running = supervisor.is_running(settings)
        _stop(settings)
    say("The stack has stopped; its data stays" if was_running else "The stack was not running")


def status(settings: Settings) -> bool:
    """Print what runs where; returns whether all of it is ready."""
    if not supervisor.is_running(settings):
        say("The stack is not running. `make up` starts it.")
        return False
    waiting = readiness.not_ready(settings, SERVICES)
    report.processes(settings, supervisor.states(settings), waiting)
    return not waiting


def restart(settings: Settings, services: Sequence[Service]) -> None:
    """Stop services and start them again with the settings of now, and wait until they are ready."""
    with _alone(settings):
        _must_run(settings)
        say(f"Stopping {', '.join(service.name for service in services)}")
        supervisor.stop_services(settings, services)
        _start_services(settings, services)


def migrate(settings: Settings, services: Sequence[Service]) -> None:
    """Bring the databases of these services to their newest revision."""
    _must_run(settings)
    command = [sys.executable, "-m", "libs.service_kit.migrations", "upgrade", *(each.short for each in services)]
    if subprocess.run(command, cwd=ROOT, env=environment.of_preparation(settings), check=False).returncode:
        raise StackError("The migration failed (see above); its database is as it was.")


def clean(settings: Settings) -> None:
    """Stop the stack, remove its data, logs and traces, and say what was removed."""
    with _alone(settings):
        _stop(settings)
    folders = [settings.state / name for name in ("postgres", "logs", "traces", "run")]
    with contextlib.suppress(postgres.PostgresError):
        folders.append(postgres.home(settings.state / "postgres"))
    folders.append(supervisor.socket(settings).parent)
    removed = [path for path in dict.fromkeys(folders) if path.exists()]
    for path in removed:
        shutil.rmtree(path)
        say(f"Removed {path}")
    if not removed:
        say("There was nothing to remove")


def server_of(settings: Settings) -> postgres.Server:
    """The stack's PostgreSQL; its folder is made if it is missing."""
    password = settings.values["POSTGRES_PASSWORD"]
    return postgres.at(settings.state / "postgres", port=settings.port("POSTGRES_PORT"), password=password)


def _start_from_nothing(settings: Settings) -> None:
    if processes.of_stack(settings.state):
        say("Ending what is left of an earlier start")
    _stop(settings)
    doctor.require(doctor.for_local(settings))
    server = server_of(settings)
    if not server.data.exists():
        say(f"Creating the database server in {server.folder}")
    postgres.create(server)
    for service in SERVICES:
        for kind in ("logs", "traces"):
            (settings.state / kind / service.name).mkdir(parents=True, exist_ok=True)
    say(f"Starting PostgreSQL on port {server.port}")
    supervisor.start(settings, server)
    _fingerprint_file(settings).write_text(_fingerprint(settings))


def _prepare(settings: Settings) -> None:
    say("Bringing the five databases up to date")
    command = [sys.executable, "-m", "local.prepare"]
    done = subprocess.run(
        command, env=environment.of_preparation(settings), capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr).splitlines()
        if len(said) > 1:  # a traceback: the server may have said why; a single line explains itself
            said += _lines(settings.run / "postgres.out")[-5:]
        raise StackError(
            f"{report.tail(said)}\n\nThe databases could not be prepared (see above). Mend the cause and run `make up` "
            "again: the data is as it was."
        )


def _start_services(settings: Settings, services: Sequence[Service]) -> None:
    known = supervisor.states(settings)
    for service in services:
        if known[service.name]["statename"] not in ("RUNNING", "STARTING"):
            supervisor.start_service(settings, service)
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
            if known[service.name]["statename"] == "FATAL":
                raise _dead(settings, service, "ends as soon as it is started")
            if time.monotonic() - started > SECONDS_TO_BE_READY:
                raise _dead(settings, service, f"is not ready after {SECONDS_TO_BE_READY:.0f} s: {still[service]}")
        time.sleep(0.1)


def _dead(settings: Settings, service: Service, what: str) -> StackError:
    file = settings.run / f"{service.name}.out"
    return StackError(
        f"{report.tail(_lines(file))}\n\n{service.name} {what}. Above is the end of its output, {file}. "
        f"Mend the cause, then `make restart SERVICE={service.short}`; `make down` stops the others."
    )


def _stop(settings: Settings) -> None:
    if supervisor.is_running(settings):
        supervisor.shut_down(settings)
    processes.end(processes.of_stack(settings.state))
    with contextlib.suppress(PermissionError, postgres.PostgresError):
        if (postgres.home(settings.state / "postgres") / "data" / "postmaster.pid").exists():
            postgres.stop(server_of(settings))


def _must_run(settings: Settings) -> None:
    if not supervisor.is_running(settings):
        raise StackError("The stack is not running. `make up` starts it.")


def _fingerprint(settings: Settings) -> str:
    """Changes when any service would be started differently, by its command or by its environment."""
    how = [
        [launch.command(each, settings), settings.from_file | environment.decided(each, settings)] for each in SERVICES
    ]
    return hashlib.sha256(json.dumps([how, settings.values["POSTGRES_PORT"]], sort_keys=True).encode()).hexdigest()


def _fingerprint_file(settings: Settings) -> Path:
    return settings.run / "fingerprint"


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.exists() else []


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Two terminals do not start, stop or remove the same stack at the same time: the second waits."""
    try:
        settings.make_state()
        with (settings.state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        owner = Path(error.filename).parent.owner()
        raise StackError(
            f"{error.filename} cannot be written: it belongs to {owner}. Continue as {owner}, or remove "
            f"{settings.state} as {owner} or root (`make clean`)."
        ) from error
