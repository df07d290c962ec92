"""The verbs of the Docker mode: the same ones as `stack` has, by docker compose."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from local import doctor, engine, mode, parts, report
from local.logs import LINES_BEFORE
from local.report import say
from local.settings import SERVICES, Service, SettingError, Settings

SECONDS_TO_BE_READY = 300


class PullError(engine.EngineError):
    """An image cannot be had now; nothing has been started."""


def must_answer() -> None:
    """`EngineError` says why no container can run here."""
    if lacking := engine.lacking():
        raise engine.EngineError(f"MODE=docker: {lacking}. `make up MODE=local` runs without Docker.")


def check(chosen_parts: str) -> None:
    """`SettingError` says why a stack of these parts cannot be started here."""
    must_answer()
    parts.chosen(chosen_parts, engine.model())


def up(settings: Settings) -> None:
    """Build what has changed, start what does not run, stop what is left out, and wait until all of it is healthy."""
    model = engine.model()
    names = parts.chosen(mode.parts(settings), model)
    for warning in doctor.require(doctor.for_docker(settings, names, model)):
        say(f"Warning: {warning}")
    staying = [name for name in names if name in parts.long_running(model)]
    if missing := [name for name in names if "build" not in model[name] and not engine.has_image(model[name]["image"])]:
        say(f"Pulling the images of {', '.join(missing)}")
        _pull(missing)
    say("Building the images of the services")
    built = [name for name in names if "build" in model[name]]
    engine.compose("build", *(["--quiet"] if engine.has_image(model[built[0]]["image"]) else []), *built)
    if left_out := sorted(engine.running() & model.keys() - set(names)):
        say(f"Stopping what is left out: {', '.join(left_out)}")
        engine.compose("rm", "--stop", "--force", *left_out)
    say("Starting the containers and waiting until they are healthy")
    wait = ("--detach", "--remove-orphans", "--wait", "--wait-timeout", str(SECONDS_TO_BE_READY))
    engine.compose("up", *wait, *staying, environment=_environment(settings, names))
    for name in parts.loose_ends(names, model):
        engine.compose("run", "--rm", "--no-deps", name)
    report.summary(settings, containers=staying)


def is_running(settings: Settings) -> bool:
    """Whether any container runs; False where there is no Docker to run it."""
    return bool(engine.running())


def down(settings: Settings) -> None:
    """Stop and remove the containers; data stays in its volumes."""
    must_answer()
    engine.compose("down", "--remove-orphans")
    say("The stack has stopped; its data stays")


def status(settings: Settings) -> bool:
    """Print what runs; returns whether all of it that `up` was asked for is healthy."""
    must_answer()
    engine.compose("ps", "--all")
    model = engine.model()
    healthy = {each["Service"] for each in engine.containers() if each["Health"] == "healthy"}
    return healthy >= parts.long_running(model) & set(parts.chosen(mode.parts(settings), model))


def restart(settings: Settings, services: Sequence[Service]) -> None:
    """Start services anew with the settings and the code of now; of several, those that PARTS has not left out."""
    must_answer()
    chosen = parts.chosen(mode.parts(settings), engine.model())
    names = [each.name for each in services if each.name in chosen or len(services) == 1]
    how = ("--detach", "--build", "--force-recreate", "--no-deps", "--wait")
    engine.compose("up", *how, *names, environment=_environment(settings, chosen))


def migrate(settings: Settings, services: Sequence[Service]) -> None:
    """Bring the databases to their newest revision: all of them, which costs nothing where there is nothing to do."""
    must_answer()
    engine.compose("run", "--rm", "--build", "prepare")


def clean(settings: Settings) -> None:
    """Remove the containers, their data and the images that were built, and say so."""
    must_answer()
    engine.compose("down", "--volumes", "--remove-orphans")
    engine.remove_images(each["image"] for each in engine.model().values() if "build" in each)
    say("Removed the containers, their volumes and the images that were built here")


def logs(names: Sequence[str], *, follow: bool) -> None:
    """The containers' own output: of the services, or of those that are named."""
    must_answer()
    shorts = {service.short: service.name for service in SERVICES}
    wanted = [shorts.get(name, name) for name in names] or list(shorts.values())
    model = engine.model()
    if unknown := sorted(set(wanted) - model.keys()):
        raise SettingError(f"there is no container {', '.join(unknown)}: use names of {', '.join(model)}")
    engine.compose("logs", *(["--follow"] if follow else []), *wanted)


def log_files(services: Sequence[Service], *, follow: bool) -> Iterator[str]:
    """The lines of services' log files, which lie in a volume, through a container that has it; one has to run."""
    files = [f"/var/log/app/{each.name}/combined.log" for each in services]
    command = (
        f"tail -q -n {LINES_BEFORE} -F {' '.join(files)}" if follow else f"cat {' '.join(f'{each}*' for each in files)}"
    )
    return _beside_the_logs(f"{command} 2>/dev/null")


def trace(settings: Settings, trace_id: str | None) -> None:
    """Say where Jaeger shows the trace, or the last ones."""
    if "jaeger" not in engine.running():
        raise engine.EngineError("Jaeger does not run: PARTS has left it out, or `make up` has not been done.")
    page = f"trace/{_whole(trace_id)}" if trace_id else "search?limit=20&lookback=1h&service=budget-service"
    say(f"http://127.0.0.1:{settings.values['JAEGER_UI_PORT']}/{page}")


def _whole(beginning: str) -> str:
    """The trace id that begins so, which Jaeger wants whole; log lines tell it."""
    if not re.fullmatch(r"[0-9a-f]{1,32}", beginning.lower()):
        raise SettingError(f"a trace id has 32 digits from 0 to f, and {beginning!r} does not begin one")
    files = " ".join(f"/var/log/app/{each.name}/combined.log*" for each in SERVICES)
    wanted = f'grep -ohE \'"trace_id": ?"{beginning.lower()}[0-9a-f]*\' {files} 2>/dev/null'
    found = sorted({line.strip().rpartition('"')[2] for line in _beside_the_logs(wanted)})
    if len(found) == 1:
        return found[0]
    raise SettingError(
        f"{beginning!r} begins {len(found)} traces: {', '.join(found[:5])}"
        if found
        else f"no log line has a trace id that begins with {beginning!r}"
    )


def _beside_the_logs(command: str) -> Iterator[str]:
    """The lines that a command prints in a container that has the volume of the log files; one has to run."""
    must_answer()
    running = sorted(engine.running() & {each.name for each in SERVICES})
    if not running:
        raise engine.EngineError("No service runs, and through one the log files are read: `make up` starts them.")
    return engine.lines("exec", "-T", running[0], "sh", "-c", command)


def _environment(settings: Settings, names: Sequence[str]) -> Mapping[str, str]:
    """Without Jaeger the services send no spans, which would be counted as lost, unless they are told where to."""
    told = {"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"} & (settings.from_file.keys() | os.environ.keys())
    return {"OTEL_TRACES_EXPORTER": "none"} if "jaeger" not in names and not told else {}


def _pull(names: Sequence[str]) -> None:
    try:
        engine.compose("pull", *names)
    except engine.EngineError as error:
        raise PullError(
            "An image could not be pulled (see above). `make up MODE=docker` tries again; PARTS leaves out what needs "
            'the image: make up PARTS="metrics traces", for example, does without Elasticsearch, Logstash and Kibana; '
            "`make up MODE=local` does without Docker."
        ) from error
