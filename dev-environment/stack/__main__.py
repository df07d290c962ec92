"""The command line of the stack: `python -m stack up`, as the Makefile calls it. Each verb goes to the mode's backend."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from stack import environment, mode, postgres, scale
from stack.docker import verbs as docker
from stack.errors import SettingError, StackError
from stack.kubernetes import checks as kubernetes_checks
from stack.kubernetes import overlay
from stack.kubernetes import verbs as kubernetes
from stack.local import verbs as local
from stack.lock import alone
from stack.postgres import PostgresError
from stack.report import say
from stack.services import AUTH, Program, Service, services_named
from stack.settings import ROOT, Settings, read


class Backend(Protocol):
    """What each mode can do; see the functions of the same names in its `verbs.py`."""

    def up(self, settings: Settings) -> None: ...
    def is_running(self, settings: Settings) -> bool: ...
    def diagnose(self, settings: Settings, chosen_parts: str, chosen_scale: str) -> bool: ...
    def down(self, settings: Settings) -> None: ...
    def status(self, settings: Settings) -> bool: ...
    def programs(self, settings: Settings) -> Sequence[Program]: ...
    def restart(self, settings: Settings, services: Sequence[Program]) -> None: ...
    def migrate(self, settings: Settings, services: Sequence[Service]) -> None: ...
    def clean(self, settings: Settings) -> None: ...
    def logs(self, settings: Settings, names: Sequence[str], *, level: str, trace: str, follow: bool) -> None: ...
    def trace(self, settings: Settings, trace_id: str | None) -> None: ...


BACKENDS: dict[str, Backend] = {"local": local, "docker": docker, "kubernetes": kubernetes}
CHECKS = {"docker": docker.check, "kubernetes": kubernetes.check}
"""What says, before a start, why a mode cannot be used here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code. An error is a message for a person, never a traceback."""
    given = parser().parse_args(arguments)
    environment.forget_other_servers()
    try:
        return given.run(read(), given)
    except (StackError, PostgresError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command continues from here; `make down` stops what runs.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `make logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """All verbs with their options."""
    top = argparse.ArgumentParser(prog="python -m stack", description="The whole stack on this machine.")
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, run: Callable[[Settings, argparse.Namespace], int], explanation: str
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=explanation, description=explanation)
        added.set_defaults(run=run)
        return added

    start = verb("up", up, "start the stack and wait until it is ready")
    check = verb("doctor", doctor, "what on this machine would keep the stack from starting, and the cure")
    for each in (start, check):
        each.add_argument(
            "--mode", help="local, docker or kubernetes; else the last one, else docker where an engine answers"
        )
        each.add_argument("--parts", help="metrics, logs, traces, loki, ha or containers; else the last ones, else all")
        each.add_argument(
            "--scale",
            help="docker, kubernetes: how many run of each service, such as 2 or budget=2; else as many as the last time",
        )
    verb("down", down, "stop the stack; data stays")
    verb("status", status, "what runs where, and is it ready")
    verb("restart", restart, "restart services").add_argument("service", nargs="*", metavar="SERVICE")
    verb("migrate", migrate, "bring databases up to date").add_argument("service", nargs="*", metavar="SERVICE")
    print_objects = verb(
        "manifests", manifests, "print every object of an overlay for Kubernetes, for kubectl to apply"
    )
    print_objects.add_argument(
        "overlay", nargs="?", choices=overlay.NAMES, default="production", help="default production"
    )
    verb("clean", clean, "stop the stack and remove its data, logs and traces")
    show = verb("logs", logs, "the services' log lines; followed on a terminal, printed once into a pipe")
    show.add_argument("--service", action="append", default=[], help="only this one; may be repeated")
    show.add_argument("--level", default="", help="this level and above")
    show.add_argument("--trace", default="", help="a trace id, or how it begins")
    show.add_argument("-f", "--follow", action=argparse.BooleanOptionalAction, default=sys.stdout.isatty())
    draw = verb("trace", trace, "draw a trace with its log lines")
    draw.add_argument("id", nargs="?", help="how its id begins; else the last one")
    dead = verb("events-dead", events_dead, "list the events that nobody tries again")
    dead.add_argument("--json", action="store_true", help="for programs")
    dead.add_argument("--limit", type=int, default=100, help="at most so many of each outbox and queue; default 100")
    again = verb("events-replay", events_replay, "send dead events again")
    again.add_argument("--id", help="the event with this id")
    again.add_argument("--service", help="those that this service has not accepted; with --id only of that event")
    again.add_argument("--all", action="store_true", help="all of them")
    verb("rotate-keys", rotate_keys, "publish a new key for access tokens, which signs when every service has it")
    prompt = verb("psql", psql, "open psql on the database server as its superuser")
    prompt.add_argument("--service", help="in the database of this service")
    prompt.add_argument("--sql", help="run this and return")
    client = verb("run", run, "run a client of the stack, with its URLs and logins in the environment")
    client.add_argument("command", nargs=argparse.REMAINDER)
    return top


def up(settings: Settings, given: argparse.Namespace) -> int:
    """Choose the mode and the parts, then start them.

    If nobody has chosen Docker mode, and its images cannot be pulled, the stack starts without Docker.
    """
    chosen, chosen_parts = _choice(settings, given)
    chosen_scale = _scale(settings, given, chosen)
    with alone(settings, "up"):
        is_settled = mode.is_settled(settings, given.mode) or bool(chosen_parts or chosen_scale)
        last = mode.remembered(settings)
        if last != chosen and BACKENDS[last].is_running(settings):
            raise StackError(f"The stack runs in {last} mode. `make down` first, then `make up MODE={chosen}`.")
        if chosen in CHECKS:
            CHECKS[chosen](settings, chosen_parts)
        mode.remember(settings, chosen, chosen_parts, chosen_scale)
        try:
            BACKENDS[chosen].up(settings)
        except docker.PullError as error:
            if is_settled:
                raise
            say(f"\n{error}\n\nMode: local for now")
            mode.forget(settings)
            mode.remember(settings, "local")
            local.up(settings)
    return 0


def doctor(settings: Settings, given: argparse.Namespace) -> int:
    """Check the machine; 1 if the stack could not start."""
    chosen, chosen_parts = _choice(settings, given)
    chosen_scale = _scale(settings, given, chosen)
    return 0 if BACKENDS[chosen].diagnose(settings, chosen_parts, chosen_scale) else 1


def down(settings: Settings, given: argparse.Namespace) -> int:
    """Stop the stack."""
    with alone(settings, "down"):
        _backend(settings).down(settings)
    return 0


def status(settings: Settings, given: argparse.Namespace) -> int:
    """Show what runs; 1 unless everything is ready."""
    return 0 if _backend(settings).status(settings) else 1


def restart(settings: Settings, given: argparse.Namespace) -> int:
    """Restart the named services, or all, in local mode with the page; a watcher only there, and only if it is named."""
    backend = _backend(settings)
    names = given.service or [each.short for each in backend.programs(settings) if isinstance(each, Service)]
    with alone(settings, "restart"):
        backend.restart(settings, services_named(names, backend.programs(settings)))
    return 0


def migrate(settings: Settings, given: argparse.Namespace) -> int:
    """Migrate the named services' databases, or all."""
    with alone(settings, "migrate"):
        _backend(settings).migrate(settings, services_named(given.service))
    return 0


def manifests(settings: Settings, given: argparse.Namespace) -> int:
    """Print the objects of an overlay of the checkout."""
    kubernetes_checks.must_have_kubectl()
    print(overlay.manifests(given.overlay), end="")
    return 0


def clean(settings: Settings, given: argparse.Namespace) -> int:
    """Remove the data of every mode that has been used."""
    problems: list[str] = []
    with alone(settings, "clean"):
        if "docker" not in (modes := mode.used(settings)):
            docker.tell_what_stays()
        for used in modes:
            try:
                BACKENDS[used].clean(settings)
                mode.forget(settings, [used])
            except StackError as error:  # the other mode is cleaned all the same
                problems.append(str(error))
    if problems:
        raise StackError("\n".join(problems))
    return 0


def logs(settings: Settings, given: argparse.Namespace) -> int:
    """Print or follow log lines."""
    try:
        backend = _backend(settings)
        backend.logs(settings, given.service, level=given.level, trace=given.trace, follow=given.follow)
    except KeyboardInterrupt:  # this is how a person stops following
        return 0
    return 0


def trace(settings: Settings, given: argparse.Namespace) -> int:
    """Show one trace."""
    _backend(settings).trace(settings, given.id)
    return 0


def events_dead(settings: Settings, given: argparse.Namespace) -> int:
    """List the dead events."""
    from stack.watch import dead_events  # with SQLAlchemy and a broker's client, for which no other verb should wait

    dead_events.show(settings, as_json=given.json, limit=given.limit)
    return 0


def events_replay(settings: Settings, given: argparse.Namespace) -> int:
    """Send dead events again."""
    from stack.watch import dead_events

    dead_events.replay(settings, dead_events.wanted(given.id, given.service, everything=given.all))
    return 0


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Run a client of the stack, such as the demo, with its URLs and logins in the environment."""
    command = [part for part in given.command if part != "--"]
    if command[:1] == ["python"]:
        command[0] = sys.executable
    return subprocess.run(command, env=environment.of_client(settings), check=False).returncode


def rotate_keys(settings: Settings, given: argparse.Namespace) -> int:
    """Publish the next key. Both modes publish the database on this machine."""
    command = [sys.executable, "-m", "services.auth.rotate_keys"]
    return subprocess.run(command, cwd=ROOT, env=environment.of_service(AUTH, settings), check=False).returncode


def psql(settings: Settings, given: argparse.Namespace) -> int:
    """Open a prompt on the database server, or run one statement."""
    database = services_named([given.service])[0].short if given.service else "postgres"
    statement = ["-c", given.sql] if given.sql else []
    command = [postgres.client(), environment.superuser_url(settings, database), "-v", "ON_ERROR_STOP=1", *statement]
    return subprocess.run(command, env=environment.from_shell(), check=False).returncode


def _backend(settings: Settings) -> Backend:
    return BACKENDS[mode.remembered(settings)]


def _choice(settings: Settings, given: argparse.Namespace) -> tuple[str, str]:
    chosen, why = mode.choose(settings, given.mode)
    say(f"Mode: {chosen} ({why})")
    if chosen == "local":
        if given.parts:
            raise SettingError("PARTS: in local mode run the watchers that are on the PATH, unless WATCHERS=none.")
        return chosen, ""
    last = mode.parts(settings) if mode.remembered(settings) == chosen else ""
    parts = given.parts or settings.values["PARTS"] or last
    if parts:
        say(f"Parts: {parts} (PARTS=all is everything)")
    return chosen, parts


def _scale(settings: Settings, given: argparse.Namespace, chosen: str) -> str:
    if chosen == "local":
        if given.scale:
            raise SettingError(
                "SCALE is for Docker and Kubernetes mode: in local mode each service runs once, since it has one port. "
                f"`make up MODE=docker SCALE={given.scale}` starts several."
            )
        return ""
    last = mode.scale(settings) if mode.remembered(settings) == chosen else ""
    wanted = given.scale or settings.values["SCALE"] or last
    if scale.replicas(wanted):
        say(f"Scale: {wanted} (SCALE=1 is one of each service)")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
