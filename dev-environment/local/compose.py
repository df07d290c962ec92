"""The verbs of the Docker mode: the same ones as `stack` has, by docker compose."""

import os
from collections.abc import Mapping, Sequence

from local import doctor, engine, mode, parts, report
from local.report import say
from local.settings import SERVICES, Service, Settings

SECONDS_TO_BE_READY = 300


def up(settings: Settings) -> None:
    """Build what has changed, start what does not run, stop what is left out, and wait until all of it is healthy."""
    must_answer()
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
    _compose(settings, "build", *(["--quiet"] if engine.has_image(model[built[0]]["image"]) else []), *built)
    if left_out := sorted(_running() - set(names)):
        say(f"Stopping what is left out: {', '.join(left_out)}")
        _compose(settings, "rm", "--stop", "--force", *left_out)
    say("Starting the containers and waiting until they are healthy")
    _compose(settings, "up", "--detach", "--wait", "--wait-timeout", str(SECONDS_TO_BE_READY), *staying)
    for name in parts.loose_ends(names, model):
        _compose(settings, "run", "--rm", "--no-deps", name)
    report.summary(settings, containers=staying)


def is_running(settings: Settings) -> bool:
    """Whether any container runs; False where there is no Docker to run it."""
    return not engine.lacking() and bool(_running())


def down(settings: Settings) -> None:
    """Stop and remove the containers; data stays in its volumes."""
    _compose(settings, "down")
    say("The stack has stopped; its data stays")


def status(settings: Settings) -> bool:
    """Print what runs; returns whether all of it that `up` was asked for is healthy."""
    _compose(settings, "ps", "--all")
    model = engine.model()
    healthy = {each["Service"] for each in engine.containers() if each["Health"] == "healthy"}
    return healthy >= parts.long_running(model) & set(parts.chosen(mode.parts(settings), model))


def restart(settings: Settings, services: Sequence[Service]) -> None:
    """Start services anew with the settings and the code of now."""
    names = [each.name for each in services]
    _compose(settings, "up", "--detach", "--build", "--force-recreate", "--no-deps", "--wait", *names)


def migrate(settings: Settings, services: Sequence[Service]) -> None:
    """Bring the databases to their newest revision: all of them, which costs nothing where there is nothing to do."""
    _compose(settings, "run", "--rm", "--build", "prepare")


def clean(settings: Settings) -> None:
    """Remove the containers, their data and the images that were built, and say so."""
    _compose(settings, "down", "--volumes")
    engine.remove_images(each["image"] for each in engine.model().values() if "build" in each)
    say("Removed the containers, their volumes and the images that were built here")


def logs(settings: Settings, services: Sequence[Service], *, follow: bool) -> None:
    """The containers' own output."""
    _compose(settings, "logs", *(["--follow"] if follow else []), *(each.name for each in services))


def log_files(services: Sequence[Service]) -> str:
    """The log files of services, which lie in a volume, through a container that has it; one that runs is needed."""
    running = sorted(_running() & {each.name for each in SERVICES})
    if not running:
        raise engine.EngineError("No service runs, and through one the log files are read: `make up` starts them.")
    files = " ".join(f"/var/log/app/{each.name}/combined.log*" for each in services)
    return engine.answer("exec", "-T", running[0], "sh", "-c", f"cat {files} 2>/dev/null || true")


def trace(settings: Settings, trace_id: str | None) -> None:
    """Say where Jaeger shows the trace, or the last ones."""
    if "jaeger" not in _running():
        raise engine.EngineError("Jaeger does not run: PARTS has left it out, or `make up` has not been done.")
    page = f"trace/{trace_id}" if trace_id else "search?limit=20&lookback=1h&service=budget-service"
    say(f"http://127.0.0.1:{settings.values['JAEGER_UI_PORT']}/{page}")


def _compose(settings: Settings, *arguments: str) -> None:
    must_answer()
    engine.compose(*arguments, environment=_environment(settings))


def _environment(settings: Settings) -> Mapping[str, str]:
    """Without Jaeger the services send no spans, which would be counted as lost, unless they are told where to."""
    told = {"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"} & (settings.from_file.keys() | os.environ.keys())
    without = "jaeger" not in parts.chosen(mode.parts(settings), engine.model())
    return {"OTEL_TRACES_EXPORTER": "none"} if without and not told else {}


def _running() -> set[str]:
    return {each["Service"] for each in engine.containers() if each["State"] == "running"}


def _pull(names: Sequence[str]) -> None:
    try:
        engine.compose("pull", *names)
    except engine.EngineError as error:
        raise engine.EngineError(
            "An image could not be pulled (see above). Try again when the network is there, or leave out the part that "
            f'needs it: make up PARTS="{" ".join(parts.GROUPS)}" is everything.'
        ) from error


def must_answer() -> None:
    """`EngineError` says why no container can run here."""
    if lacking := engine.lacking():
        raise engine.EngineError(f"MODE=docker: {lacking}. `make up MODE=local` runs without Docker.")
