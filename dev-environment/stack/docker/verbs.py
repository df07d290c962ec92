"""The verbs of Docker mode: the same ones as local mode has, done by docker compose."""

import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from stack import doctor, mode, report, scale
from stack.docker import checks, engine, log_volume, logins, parts
from stack.errors import SettingError
from stack.report import say
from stack.services import BUDGET, Program, Service, services_named
from stack.settings import DEFAULTS, Settings

SECONDS_TO_BE_READY = 300


class PullError(engine.EngineError):
    """An image cannot be pulled now; nothing has been started."""


def check(settings: Settings, chosen_parts: str) -> None:
    """`StackError` says why a stack of these parts cannot be started here."""
    _must_be_ours()
    parts.chosen(chosen_parts, engine.model())
    if not mode.has_used(settings, "docker") and engine.has_data():
        say(
            "Warning: the engine has data of another checkout's stack, or of one before this checkout. This stack "
            "continues with it, and `make clean` will remove it."
        )


def up(settings: Settings) -> None:
    """Build what has changed, start what does not run, stop what is left out, and wait until all of it is healthy."""
    replicas = _replicas(mode.scale(settings))
    model = engine.model(replicas)
    names = parts.chosen(mode.parts(settings), model)
    for warning in doctor.require(checks.findings(settings, names, model)):
        say(f"Warning: {warning}")
    staying = [name for name in names if name in parts.long_running(model)]
    if missing := [name for name in names if "build" not in model[name] and not engine.has_image(model[name]["image"])]:
        say(f"Pulling the images of {', '.join(missing)}")
        _pull(missing, replicas)
    say("Building the images of the services")
    built = [name for name in names if "build" in model[name]]
    engine.compose("build", *(["--quiet"] if engine.has_image(model[built[0]]["image"]) else []), *built)
    running = engine.running()
    _count_nodes(running, names)
    if left_out := sorted(running & engine.model().keys() - set(names)):
        say(f"Stopping what is left out: {', '.join(left_out)}")
        engine.compose("rm", "--stop", "--force", "--volumes", *left_out)
    say("Starting the containers and waiting until they are healthy")
    wait = ("--detach", "--remove-orphans", "--wait", "--wait-timeout", str(SECONDS_TO_BE_READY))
    profiles = {"COMPOSE_PROFILES": ",".join(parts.profiles(names, model))}
    engine.compose(
        "up", *wait, *staying, environment=_environment(settings, names, model) | profiles, replicas=replicas
    )
    for name in parts.one_shots(names, model):
        engine.compose("run", "--rm", "--no-deps", name)
    is_refused = "grafana" in staying and logins.is_refused_by_grafana(settings)
    report.summary(settings, containers=staying, is_refused_by_grafana=is_refused)


def is_running(settings: Settings) -> bool:
    """Whether any container runs; False where Docker is unavailable."""
    return bool(engine.running())


def diagnose(settings: Settings, chosen_parts: str, chosen_scale: str) -> bool:
    """Print what was found on this machine; returns whether the stack can start."""
    _must_answer()
    model = engine.model(_replicas(chosen_scale))
    return doctor.show(checks.findings(settings, parts.chosen(chosen_parts, model), model))


def down(settings: Settings) -> None:
    """Stop and remove the containers; data stays in its volumes."""
    _must_be_ours()
    engine.compose("down", "--remove-orphans")
    say("The stack has stopped; its data stays")


def status(settings: Settings) -> bool:
    """Print what runs; returns whether everything that `up` has started is healthy."""
    _must_answer()
    engine.compose("ps", "--all")
    model = engine.model(_replicas(mode.scale(settings)))
    healths: dict[str, list[str]] = {}  # of the replicas of each service
    for each in engine.containers():
        healths.setdefault(each["Service"], []).append(each["Health"] or each["State"])  # some have no health check
    healthy = {
        name
        for name, found in healths.items()
        if name in model and {*found} <= {"healthy", "running"} and len(found) >= parts.replicas(model[name])
    }
    return healthy >= parts.long_running(model) & set(parts.chosen(mode.parts(settings), model))


def restart(settings: Settings, services: Sequence[Program]) -> None:
    """Start services again with their present settings and code; of several, those that PARTS has not left out."""
    _must_be_ours()
    replicas = _replicas(mode.scale(settings))
    if (parts.HAPROXY in engine.running()) != bool(replicas):
        raise engine.EngineError(
            "How many of each service run is not what the last `make up` was asked for: it has not finished, or plain compose has "
            "changed them since. This would take replicas away, or the services' ports: `make up` first, with SCALE=… for several."
        )
    model = engine.model(replicas)
    chosen = parts.chosen(mode.parts(settings), model)
    names = [each.name for each in services if each.name in chosen or len(services) == 1]
    how = ("--detach", "--build", "--force-recreate", "--no-deps", "--wait")
    engine.compose("up", *how, *names, environment=_environment(settings, chosen, model), replicas=replicas)


def programs(settings: Settings) -> Sequence[Service]:
    """What has a name for `restart`."""
    return settings.programs


def migrate(settings: Settings, services: Sequence[Service]) -> None:
    """Bring all databases to their newest revision, whichever are named: an up-to-date one costs nothing."""
    _must_be_ours()
    engine.compose("run", "--rm", "--build", "prepare")


def clean(settings: Settings) -> None:
    """Remove the containers, their data and the images that were built, and say so."""
    _must_be_ours()
    if not mode.has_used(settings, "docker") and not engine.containers() and engine.has_data():
        raise engine.EngineError(
            "The engine has data of another checkout's stack, or of one before this checkout, which has never started "
            f"one: `make clean` there, or `{shlex.join(engine.command('--profile=*', 'down', '--volumes'))}` here."
        )
    engine.compose("down", "--volumes", "--remove-orphans")
    engine.remove_images(each["image"] for each in engine.model().values() if "build" in each)
    say("Removed the containers, their volumes and the images that were built here")


def tell_what_stays() -> None:
    """Say that the engine has data which `clean` leaves there, in a checkout that has never used Docker."""
    with contextlib.suppress(engine.EngineError):
        if not engine.why_unavailable() and engine.has_data():
            say("The Docker Engine holds data of a stack that this checkout has not started; it stays")


def logs(settings: Settings, names: Sequence[str], *, level: str, trace: str, follow: bool) -> None:
    """Print the log lines of the services with a level or of a trace; without either, the containers' own output."""
    from stack.watch import logs as log_lines  # with the shared layer, for which no other verb should wait

    _must_answer()
    if not (level or trace):
        _print_output(settings, names, follow=follow)
        return
    keep = log_lines.keeps(level=level, trace=trace)
    before = log_lines.LINES_BEFORE if follow else None
    lines = log_lines.parsed(log_volume.lines(services_named(names, settings.programs), before))
    log_lines.show(filter(keep, lines if follow else sorted(lines, key=log_lines.time_of)), flush=follow)


def trace(settings: Settings, trace_id: str | None) -> None:
    """Print where Jaeger shows the trace; without an id, where it shows the last ones."""
    if "jaeger" not in engine.running():
        raise engine.EngineError("Jaeger does not run: PARTS has left it out, or `make up` has not been done.")
    last = f"search?limit=20&lookback=1h&service={BUDGET.name}"
    page = f"trace/{log_volume.whole_trace_id(trace_id)}" if trace_id else last
    say(f"http://127.0.0.1:{settings.values['JAEGER_UI_PORT']}/{page}")


def _must_answer() -> None:
    if reason := engine.why_unavailable():
        raise engine.EngineError(f"MODE=docker: {reason}. `make up MODE=local` runs without Docker.")


def _must_be_ours() -> None:
    _must_answer()
    if others := engine.other_checkouts():
        raise engine.EngineError(
            f"The containers of this engine's stack were started from {', '.join(others)}: `make down` there, since two "
            "checkouts share them and their data. `make up MODE=local` runs this checkout beside them."
        )


def _print_output(settings: Settings, names: Sequence[str], *, follow: bool) -> None:
    shorts = {each.short: each.name for each in settings.programs}
    wanted = [shorts.get(name, name) for name in names] or list(shorts.values())
    replicas = _replicas(mode.scale(settings))
    model = engine.model(replicas)
    if unknown := sorted(set(wanted) - model.keys()):
        raise SettingError(f"There is no container {', '.join(unknown)}: use names of {', '.join(model)}.")
    engine.compose("logs", *(["--follow"] if follow else []), *wanted, replicas=replicas)


def _replicas(chosen_scale: str) -> engine.Replicas:
    """How many there are of each service, where some runs more than once."""
    found = scale.replicas(chosen_scale)
    return found if any(number > 1 for number in found.values()) else engine.ONE_OF_EACH


def _count_nodes(running: set[str], names: Sequence[str]) -> None:
    """Tell an Elasticsearch that runs of the nodes that are about to come or to go: it cannot notice by itself."""
    before, after = (set(each) & checks.OTHER_NODES for each in (running, names))
    if "elasticsearch" not in running:
        return
    if before - after:
        say("Moving all log lines to the first node of Elasticsearch")
        engine.compose("exec", "-T", "elasticsearch", "bash", "/setup/alone.sh")
    elif after and not before:  # it starts again as the first of several
        engine.compose("stop", "elasticsearch")


def _environment(settings: Settings, names: list[str], model: Mapping[str, Any]) -> dict[str, str]:
    given = settings.from_file.keys() | os.environ.keys()
    decided: dict[str, str] = {}
    # Without Jaeger the spans would be counted as lost. The services send none, unless a variable says where to.
    if "jaeger" not in names and given.isdisjoint({"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"}):
        decided["OTEL_TRACES_EXPORTER"] = "none"
    # Grafana finds log lines where they are; where they are in both, in Elasticsearch. A `.env` may say the default.
    usual = settings.values["GRAFANA_PROVISIONING"] == DEFAULTS["GRAFANA_PROVISIONING"]
    if "loki" in names and "elasticsearch" not in names and usual:
        decided["GRAFANA_PROVISIONING"] = "provisioning-loki"
    # Prometheus misses what ought to be there, and nothing that has been left out.
    if not settings.values["INSTANCES"]:
        decided["INSTANCES"] = parts.stated(names, model)
    return decided


def _pull(names: Sequence[str], replicas: engine.Replicas) -> None:
    try:
        engine.compose("pull", *names, replicas=replicas)
    except engine.EngineError as error:
        raise PullError(
            "An image could not be pulled (see above). `make up MODE=docker` tries again; PARTS leaves out parts that "
            'need the image: make up PARTS="metrics traces", for example, starts no Elasticsearch, Logstash and Kibana; '
            "`make up MODE=local` needs no Docker."
        ) from error
