"""The verbs of local mode: the same ones as Docker mode has, done by supervisord."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stack import doctor, environment, postgres, report
from stack.errors import SettingError, StackError
from stack.local import checks, processes, readiness, startup, supervisor, watchers
from stack.local.watchers import Watcher
from stack.report import say
from stack.services import ANSWERING, Program, Service, services_named
from stack.settings import ROOT, Settings


def up(settings: Settings) -> None:
    """Start what does not run, wait until all of it is ready, and print where it is. A second run changes nothing."""
    if supervisor.is_running(settings) and not startup.is_current(settings):
        say("The settings have changed since the stack was started: it is restarted")
        startup.stop(settings)
    if not supervisor.is_running(settings):
        startup.start_supervisor(settings)
    elif not readiness.not_ready(settings, ANSWERING) and _all_run(settings):
        say("The stack is running already")
        report.summary(settings, watchers=startup.states_of_watchers(settings, startup.SECONDS_FOR_WATCHERS))
        return
    startup.start_watchers(settings)
    startup.prepare_databases(settings)
    startup.start(settings, settings.local_programs)
    report.summary(settings, watchers=startup.states_of_watchers(settings, startup.SECONDS_FOR_WATCHERS))


def programs(settings: Settings) -> Sequence[Program]:
    """What has a name for `restart`."""
    return (*settings.local_programs, *watchers.started(settings))


def is_running(settings: Settings) -> bool:
    """Whether anything of the stack runs."""
    return supervisor.is_running(settings) or bool(processes.of_stack(settings.state))


def diagnose(settings: Settings, chosen_parts: str, chosen_scale: str) -> bool:
    """Print what was found on this machine; returns whether the stack can start. Local mode has no parts and no replicas."""
    if is_running(settings):
        say("The stack runs: `make status` shows what is ready.")
        return True
    return doctor.show(checks.findings(settings))


def down(settings: Settings) -> None:
    """Stop all processes, the services first; data, logs and traces stay."""
    was_running = supervisor.is_running(settings)
    startup.stop(settings)
    say("The stack has stopped; its data stays" if was_running else "The stack was not running")


def status(settings: Settings) -> bool:
    """Print what runs where; returns whether all of it is ready."""
    if not supervisor.is_running(settings):
        say("The stack is not running. `make up` starts it.")
        return False
    waiting = readiness.not_ready(settings, ANSWERING)
    silent = {name: each.reason for name, each in startup.states_of_watchers(settings).items() if each}
    reasons = {service.name: reason for service, reason in waiting.items()} | silent
    left_out = {name: {"statename": "LEFT OUT", "pid": 0} for name in watchers.left_out(settings)}
    report.processes(settings, supervisor.states(settings) | left_out, reasons)
    return reasons.keys() <= left_out.keys() and _all_run(settings)


def restart(settings: Settings, services: Sequence[Program]) -> None:
    """Stop programs, start them again with their present settings, and wait until the services among them are ready."""
    _must_run(settings)
    known = supervisor.states(settings)  # without the probe or a watcher that was switched off at the start
    there = [each for each in services if each.name in known]
    if not there:
        left_out = ", ".join(each.name for each in services)
        raise StackError(f"The stack was started without {left_out}. `make up` starts it.")
    say(f"Stopping {', '.join(each.name for each in there)}")
    supervisor.stop_services(settings, there)
    startup.start(settings, there)
    if names := [each.name for each in there if isinstance(each, Watcher)]:
        states = startup.states_of_watchers(settings, startup.SECONDS_FOR_WATCHERS)
        silent = {name: silence for name in names if (silence := states[name])}
        if told := "\n".join(f"{name} {silence}" for name, silence in silent.items()):
            if any(silence.has_ended for silence in silent.values()):
                raise StackError(told)
            say(told)


def migrate(settings: Settings, services: Sequence[Service]) -> None:
    """Bring the databases of these services to their newest revision."""
    _must_run(settings)
    command = [sys.executable, "-m", "libs.service_kit.migrations", "upgrade", *(each.short for each in services)]
    if subprocess.run(command, cwd=ROOT, env=environment.of_preparation(settings), check=False).returncode:
        raise StackError("The migration failed (see above); its database is as it was.")


def clean(settings: Settings) -> None:
    """Stop the stack, remove its data, logs and traces, and print what was removed."""
    startup.stop(settings)
    folders = [settings.state / name for name in ("postgres", "logs", "traces", "watchers", "run")]
    with contextlib.suppress(postgres.PostgresError):
        folders.append(postgres.home(settings.state / "postgres"))
    folders.append(supervisor.socket(settings).parent)
    removed = [path for path in dict.fromkeys(folders) if startup.remove(path)]
    for path in removed:
        say(f"Removed {path}")
    if not removed:
        say("There was nothing to remove")


def logs(settings: Settings, names: Sequence[str], *, level: str, trace: str, follow: bool) -> None:
    """Print the services' log lines, of a level and above, of a trace; with `follow` the last ones and each new one.

    Of the page or a watcher, which have no such lines, print the end of its output, as it is.
    """
    from stack.watch import logs as log_lines  # with the shared layer, for which no other verb should wait

    services = services_named(names, programs(settings)) if names else settings.programs
    if others := [each.name for each in services if each not in settings.programs]:
        if level or trace or len(others) < len(services):
            raise SettingError(
                f"{', '.join(others)}: no lines with a level or trace; ask without LEVEL, TRACE and services."
            )
        outputs = [str(settings.run / f"{name}.out") for name in others]
        if missing := [each for each in outputs if not Path(each).exists()]:
            raise SettingError(f"Nothing has been printed yet: there is no {', '.join(missing)}.")
        subprocess.run(["tail", "-n", "200", *(["-F"] if follow else []), *outputs], check=False)
        return
    keep = log_lines.keeps(level=level, trace=trace)
    folders = _folders(settings, "logs", services)
    lines = log_lines.followed(folders, keep) if follow else filter(keep, log_lines.stored(folders))
    log_lines.show(lines, flush=follow)


def trace(settings: Settings, trace_id: str | None) -> None:
    """Draw the trace whose id begins so, the last one without an id, with its log lines."""
    from stack.watch import drawing, traces
    from stack.watch import logs as log_lines

    folders = _folders(settings, "traces", settings.programs)
    wanted = trace_id.lower() if trace_id else traces.newest(folders)
    if not wanted:
        raise SettingError(f"No trace is recorded in {settings.state / 'traces'}: make a request, then wait a second.")
    found = traces.of_trace(folders, wanted)
    if not found:
        raise SettingError(f"No recorded trace has an id that begins with {wanted!r}.")
    if len(found) > 1:
        raise SettingError(f"{wanted!r} begins {len(found)} traces: {', '.join(sorted(found)[:5])}.")
    [(whole, spans)] = found.items()
    drawing.show(spans, log_lines.of_trace(_folders(settings, "logs", settings.programs), whole))


def _folders(settings: Settings, kind: str, services: Sequence[Program]) -> list[Path]:
    return [settings.state / kind / service.name for service in services]


def _all_run(settings: Settings) -> bool:
    return all(each["statename"] in ("STARTING", "RUNNING") for each in supervisor.states(settings).values())


def _must_run(settings: Settings) -> None:
    if not supervisor.is_running(settings):
        raise StackError("The stack is not running. `make up` starts it.")
