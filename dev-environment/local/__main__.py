"""The command line of the local stack: `python -m local up`, as the Makefile calls it."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from local import compose, environment, mode, postgres, stack
from local.report import say
from local.settings import SERVICES, Service, SettingError, Settings, read, service_named

BACKENDS = {"local": stack, "docker": compose}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code. What went wrong is told in words, never as a traceback."""
    given = parser().parse_args(arguments)
    try:
        return given.run(read(), given)
    except (SettingError, stack.StackError, postgres.PostgresError) as error:
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
    top = argparse.ArgumentParser(prog="python -m local", description="The whole stack on this machine.")
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: object, explanation: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=explanation, description=explanation)
        added.set_defaults(run=run)
        return added

    start = verb("up", up, "start the stack and wait until it is ready")
    check = verb("doctor", doctor, "what on this machine would keep the stack from starting, and the cure")
    for each in (start, check):
        each.add_argument("--mode", help="local or docker; else as the last time, else docker where it can be had")
        each.add_argument(
            "--parts", help="docker: metrics, logs, traces or containers; else as the last time, else all"
        )
    verb("down", down, "stop the stack; data stays")
    verb("status", status, "what runs where, and is it ready")
    verb("restart", restart, "restart services").add_argument("service", nargs="*", metavar="SERVICE")
    verb("migrate", migrate, "bring databases up to date").add_argument("service", nargs="*", metavar="SERVICE")
    verb("clean", clean, "stop the stack and remove its data, logs and traces")
    show = verb("logs", logs, "the services' log lines; followed on a terminal, printed once into a pipe")
    show.add_argument("--service", action="append", default=[], help="only this one; may be repeated")
    show.add_argument("--level", default="", help="this level and above")
    show.add_argument("--trace", default="", help="a trace id, or how it begins")
    show.add_argument("-f", "--follow", action=argparse.BooleanOptionalAction, default=sys.stdout.isatty())
    verb("trace", trace, "draw a trace with its log lines").add_argument(
        "id", nargs="?", help="how it begins; else the last"
    )
    dead = verb("events-dead", events_dead, "list the events that nobody tries again")
    dead.add_argument("--json", action="store_true", help="for machines")
    dead.add_argument("--limit", type=int, default=100, help="so many of each outbox and queue; 100 if not given")
    again = verb("events-replay", events_replay, "send dead events again")
    again.add_argument("--id", help="the event with this id")
    again.add_argument("--service", help="those that this service has not taken; with --id only of that event")
    again.add_argument("--all", action="store_true", help="all of them")
    verb("run", run, "run a command that is told where the stack is").add_argument("command", nargs=argparse.REMAINDER)
    return top


def up(settings: Settings, given: argparse.Namespace) -> int:
    """Choose the mode and the parts, then start; without Docker if that was nobody's choice and has not its images."""
    chosen, chosen_parts = _choice(settings, given)
    is_settled = mode.is_settled(settings, given.mode) or bool(chosen_parts)
    last = mode.remembered(settings)
    if last != chosen and BACKENDS[last].is_running(settings):
        raise stack.StackError(f"The stack runs in {last} mode. `make down` first, then `make up MODE={chosen}`.")
    if chosen == "docker":
        compose.check(chosen_parts)
    mode.remember(settings, chosen, chosen_parts)
    try:
        BACKENDS[chosen].up(settings)
    except compose.PullError as error:
        if is_settled:
            raise
        say(f"\n{error}\n\nMode: local, until then")
        mode.forget(settings)
        mode.remember(settings, "local")
        stack.up(settings)
    return 0


def doctor(settings: Settings, given: argparse.Namespace) -> int:
    """Look at the machine; 1 if the stack could not start."""
    from local import doctor, engine, parts

    chosen, chosen_parts = _choice(settings, given)
    if chosen == "local":
        if stack.is_running(settings):
            say("The stack runs: `make status` tells how it does.")
            return 0
        return 0 if doctor.report(doctor.for_local(settings)) else 1
    compose.must_answer()
    model = engine.model()
    names = parts.chosen(chosen_parts, model)
    return 0 if doctor.report(doctor.for_docker(settings, names, model)) else 1


def down(settings: Settings, given: argparse.Namespace) -> int:
    """Stop."""
    BACKENDS[mode.remembered(settings)].down(settings)
    return 0


def status(settings: Settings, given: argparse.Namespace) -> int:
    """Show; 1 unless everything is ready."""
    return 0 if BACKENDS[mode.remembered(settings)].status(settings) else 1


def restart(settings: Settings, given: argparse.Namespace) -> int:
    """Restart the named services, or all."""
    BACKENDS[mode.remembered(settings)].restart(settings, _services(given.service))
    return 0


def migrate(settings: Settings, given: argparse.Namespace) -> int:
    """Migrate the named services' databases, or all."""
    BACKENDS[mode.remembered(settings)].migrate(settings, _services(given.service))
    return 0


def clean(settings: Settings, given: argparse.Namespace) -> int:
    """Remove what every mode that was used has left."""
    problems = []
    for used in mode.used(settings):
        try:
            BACKENDS[used].clean(settings)
            mode.forget(settings, [used])
        except (SettingError, stack.StackError) as error:  # the other one is cleaned all the same
            problems.append(str(error))
    if problems:
        raise stack.StackError("\n".join(problems))
    return 0


def logs(settings: Settings, given: argparse.Namespace) -> int:
    """Print or follow log lines."""
    in_docker = mode.remembered(settings) == "docker"
    try:
        if in_docker and not (given.level or given.trace):
            compose.logs(given.service, follow=given.follow)
            return 0
        from local import logs  # with libs.observability behind it, which `up` and `down` need not wait for

        services = _services(given.service)
        keep = logs.keeps(level=given.level, trace=given.trace)
        folders = _folders(settings, "logs", services)
        if in_docker:
            read = logs.parsed(compose.log_files(services, follow=given.follow))
            lines = filter(keep, read if given.follow else sorted(read, key=logs.time_of))
        else:
            lines = logs.followed(folders, keep) if given.follow else filter(keep, logs.stored(folders))
        for line in lines:
            print(logs.readable(line, coloured=_is_coloured()), flush=given.follow)
    except KeyboardInterrupt:  # how one leaves a follower
        return 0
    return 0


def trace(settings: Settings, given: argparse.Namespace) -> int:
    """Draw one trace."""
    if mode.remembered(settings) == "docker":
        compose.trace(settings, given.id)
        return 0
    from local import drawing, logs, report, traces

    folders = _folders(settings, "traces", SERVICES)
    wanted = given.id.lower() if given.id else traces.newest(folders)
    if not wanted:
        raise SettingError(f"no trace is recorded in {settings.state / 'traces'}: make a request, then wait a second")
    found = traces.of_trace(folders, wanted)
    if not found:
        raise SettingError(f"no recorded trace has an id that begins with {wanted!r}")
    if len(found) > 1:
        raise SettingError(f"{wanted!r} begins {len(found)} traces: " + ", ".join(sorted(found)[:5]))
    [(trace_id, spans)] = found.items()
    lines = logs.of_trace(_folders(settings, "logs", SERVICES), trace_id)
    out = report.console()
    for row in drawing.draw(spans, lines, width=min(out.width, 140), coloured=_is_coloured()):
        out.print(row, no_wrap=True)
    return 0


def events_dead(settings: Settings, given: argparse.Namespace) -> int:
    """List the dead events."""
    from local import dead_events

    if given.limit < 1:
        raise SettingError(f"LIMIT must be 1 or more, not {given.limit}")
    dead_events.show(settings, as_json=given.json, limit=given.limit)
    return 0


def events_replay(settings: Settings, given: argparse.Namespace) -> int:
    """Send dead events again."""
    from local import dead_events

    dead_events.replay(settings, dead_events.wanted(given.id, given.service, everything=given.all))
    return 0


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Run a client of the stack, such as the demo, with its URLs and logins in the environment."""
    command = [part for part in given.command if part != "--"]
    if command[:1] == ["python"]:
        command[0] = sys.executable
    return subprocess.run(command, env=environment.of_client(settings), check=False).returncode


def _choice(settings: Settings, given: argparse.Namespace) -> tuple[str, str]:
    chosen, why = mode.choose(settings, given.mode)
    say(f"Mode: {chosen} ({why})")
    if chosen == "local":
        if given.parts:
            raise SettingError("PARTS is for Docker mode: in local mode nothing watches the services.")
        return chosen, ""
    parts = given.parts or settings.values["PARTS"] or mode.parts(settings)
    if parts:
        say(f"Parts: {parts} (PARTS=all is everything)")
    return chosen, parts


def _services(names: Sequence[str]) -> Sequence[Service]:
    return [service_named(name) for name in names] or SERVICES


def _folders(settings: Settings, kind: str, services: Sequence[Service]) -> list[Path]:
    return [settings.state / kind / service.name for service in services]


def _is_coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


if __name__ == "__main__":
    sys.exit(main())
