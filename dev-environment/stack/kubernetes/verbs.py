"""The verbs of Kubernetes mode: the same ones as the other modes have, done by kubectl."""

import json
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from stack import doctor, mode, report
from stack.docker import engine, log_volume
from stack.kubernetes import checks, cluster, forwards, images, overlay, parts
from stack.kubernetes.cluster import NAME, NAMESPACE, OURS, ClusterError
from stack.local import readiness
from stack.report import say
from stack.services import BUDGET, Program, Service, services_named
from stack.settings import Settings

SECONDS_TO_BE_READY = 300
PAUSE_SECONDS = 2.0
# Selects the Job of the databases.
PREPARES = f"--selector={OURS},{NAME}=prepare"
GONE = "The cluster has gone: kubectl no longer knows the context {}"
# What `down` removes. The volumes' claims stay, and with them the data.
KINDS = f"{cluster.WORKLOADS},services,configmaps,secrets,poddisruptionbudgets,networkpolicies"


def check(settings: Settings, chosen_parts: str) -> None:
    """`StackError` says why the stack cannot be started in this cluster."""
    watchers = parts.chosen(chosen_parts)
    checks.must_have_kubectl()
    say(f"Context: {cluster.context(settings) or 'none'} (CONTEXT=NAME is another one)")
    checks.must_be_meant(settings)
    for warning in doctor.require([*checks.findings(settings), *checks.nodes(settings, watchers)]):
        say(f"Warning: {warning}")


def up(settings: Settings) -> None:
    """Build the images and take them to the cluster, apply what has changed, and wait until all of it is ready."""
    _make_folder(settings)
    # Before anything is made, so that what an interrupted start leaves is known as ours.
    cluster.context_file(settings).write_text(cluster.context(settings))
    built = images.build(settings)
    overlay.write(settings, built, parts.chosen(mode.parts(settings)))
    rendered = overlay.render(settings)
    with _new_namespace_removed_on_failure(settings, rendered):
        _try(settings, rendered)
        images.take_there(settings, built, rendered)
    _count_nodes(settings, rendered)
    _remove_left_out(settings, rendered)
    _remove_stuck(settings)
    say("Applying what the services stand on, and preparing the databases")
    cluster.apply(settings, overlay.objects_of(rendered, lambda kind: kind != "Deployment"))
    _wait_for_pods(settings, "jobs", PREPARES)
    say("Applying the services")
    cluster.apply(settings, rendered)
    _wait_for_pods(settings)
    running = names(settings)
    forwards.start(settings, running)
    _wait_until_reached(settings)
    report.summary(settings, containers=running)


def is_running(settings: Settings) -> bool:
    """Whether anything of the stack runs in the cluster of the last `make up`; False where that does not answer."""
    if not cluster.remembered(settings) or not cluster.is_installed():
        return False
    try:
        return bool(cluster.found(settings, "deployments"))
    except ClusterError:
        return forwards.is_running(settings)


def diagnose(settings: Settings, chosen_parts: str, chosen_scale: str) -> bool:
    """Print what was found of the cluster and this machine; returns whether the stack can start."""
    checks.must_have_kubectl()
    return doctor.show([*checks.findings(settings), *checks.nodes(settings, parts.chosen(chosen_parts))])


def down(settings: Settings) -> None:
    """Remove everything but the volumes, and end the port-forwards."""
    forwards.stop(settings)
    _must_run(settings)
    if cluster.is_gone(settings):
        say(f"{GONE.format(cluster.remembered(settings))}: `make clean` forgets it")
        return
    cluster.kubectl(settings, "delete", KINDS, f"--selector={OURS}", "--cascade=foreground", "--timeout=120s")
    say("The stack has stopped; its data stays")


def status(settings: Settings) -> bool:
    """Print what runs; returns whether all of it is ready, and reached on this machine."""
    _must_run(settings)
    cluster.shown(settings, "get", "pods", "--output=wide")
    unfinished = cluster.unfinished(settings) | (
        {} if forwards.is_running(settings) else {"the port-forwards": "ended"}
    )
    for name, why in unfinished.items():
        say(f"{name} is not ready: {why}")
    return bool(names(settings)) and not unfinished


def programs(settings: Settings) -> Sequence[Service]:
    """What has a name for `restart`."""
    return settings.programs


def restart(settings: Settings, services: Sequence[Program]) -> None:
    """Replace the pods of services one by one, and wait until the new ones are ready."""
    _must_run(settings)
    cluster.kubectl(settings, "rollout", "restart", *(f"deployment/{each.name}" for each in services))
    _wait_for_pods(settings)
    _wait_until_reached(settings)


def migrate(settings: Settings, services: Sequence[Service]) -> None:
    """Bring all databases to their newest revision, whichever are named: an up-to-date one costs nothing."""
    _must_run(settings)
    cluster.kubectl(settings, "delete", "jobs", PREPARES)
    cluster.apply(settings, overlay.objects_of(overlay.render(settings), lambda kind: kind == "Job"))
    _wait_for_pods(settings)


def clean(settings: Settings) -> None:
    """Remove the namespace with everything in it, and the images that were built."""
    forwards.stop(settings)
    if not cluster.remembered(settings):
        say("There was nothing to remove in a cluster")
        return
    checks.must_have_kubectl()
    if cluster.is_gone(settings):
        say(GONE.format(cluster.remembered(settings)))
    else:
        doctor.require([checks.namespace(settings)])
        cluster.kubectl(settings, "delete", "namespace", NAMESPACE, "--ignore-not-found")
        say(f"Removed the namespace {NAMESPACE} with its volumes")
    engine.remove_images(images.built(settings))
    shutil.rmtree(overlay.folder(settings))
    say("Removed the images that were built here")


def logs(settings: Settings, names: Sequence[str], *, level: str, trace: str, follow: bool) -> None:
    """Print the log lines of the services with a level or of a trace; without either, the containers' own output."""
    from stack.watch import logs as log_lines  # with the shared layer, for which no other verb should wait

    _must_run(settings)
    if not (level or trace):
        _print_output(settings, names, follow=follow)
        return
    keep = log_lines.keeps(level=level, trace=trace)
    programs = services_named(names, settings.programs)
    if follow:
        log_lines.show(filter(keep, log_lines.parsed(_followed_files(settings, programs))), flush=True)
        return
    found = log_lines.parsed(log_volume.lines(programs, printed_by=_in_pods(settings)))
    log_lines.show(filter(keep, sorted(found, key=log_lines.time_of)), flush=False)


def trace(settings: Settings, trace_id: str | None) -> None:
    """Print where Jaeger shows the trace; without an id, where it shows the last ones."""
    _must_run(settings)
    last = f"search?limit=20&lookback=1h&service={BUDGET.name}"
    page = f"trace/{log_volume.whole_trace_id(trace_id, _trace_ids(settings, trace_id))}" if trace_id else last
    say(f"http://127.0.0.1:{settings.values['JAEGER_UI_PORT']}/{page}")


def _must_run(settings: Settings) -> None:
    checks.must_have_kubectl()
    if not cluster.remembered(settings):
        raise ClusterError("`make up MODE=kubernetes` has not been done here, so there is no cluster to ask.")


def _make_folder(settings: Settings) -> None:
    """Make the folder of the overlay, which holds the logins."""
    settings.make_state()
    overlay.folder(settings).mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _new_namespace_removed_on_failure(settings: Settings, rendered: str) -> Generator[None]:
    """Make the namespace if there is none; a failure or Ctrl-C removes it again, so that such a start leaves nothing."""
    is_new = not cluster.exists(settings, "namespace", NAMESPACE)
    if is_new:
        cluster.apply(settings, overlay.objects_of(rendered, lambda kind: kind == "Namespace"))
    try:
        yield
    except BaseException:
        if is_new:
            cluster.kubectl(settings, "delete", "namespace", NAMESPACE)
            cluster.context_file(settings).unlink()
        raise


def _try(settings: Settings, rendered: str) -> None:
    """Have the cluster check all objects, so that it takes all of them or none."""
    say("Asking the cluster whether it would take every object")
    try:
        cluster.apply(settings, rendered, "--dry-run=server")
    except ClusterError as error:
        raise ClusterError(f"The cluster would not take all of the objects, so none was applied:\n{error}") from error


def names(settings: Settings) -> list[str]:
    """What runs, by the names of the containers of compose; what runs beside the services is told once."""
    found = cluster.found(settings, "deployments,statefulsets,daemonsets")
    found = [each for each in found if each["spec"].get("replicas", 1)]
    beside = {
        container["name"]
        for each in found
        for container in each["spec"]["template"]["spec"].get("initContainers", ())
        if container.get("restartPolicy") == "Always"
    }
    return [each["metadata"]["name"] for each in found] + sorted(beside)


def _count_nodes(settings: Settings, rendered: str) -> None:
    """Stop an Elasticsearch that is to have another number of nodes: it cannot notice while it runs. Its data stays.

    Before three nodes end for one or for none, the first one takes all log lines, and the others' volumes go with their pods.
    """
    running = [each for each in cluster.found(settings, "statefulsets") if _is_elasticsearch(each)]
    before, after = (
        sum(each["spec"].get("replicas", 1) for each in found if _is_elasticsearch(each))
        for found in (running, overlay.objects(rendered))
    )
    if before in (0, after):
        return
    is_leaving = "deletionTimestamp" in running[0]["metadata"]
    if before > 1 and not is_leaving:
        say("Moving all log lines to the first node of Elasticsearch")
        try:
            cluster.kubectl(settings, "exec", "elasticsearch-0", "--", "bash", "/setup/alone.sh")
        except ClusterError as error:
            raise ClusterError(
                f"The log lines are not all on elasticsearch-0 yet, so nothing was stopped: {error}"
            ) from error
        others = checks.volumes_of_other_nodes(settings)
        cluster.kubectl(settings, "delete", "--wait=false", "persistentvolumeclaims", *others)
    say(f"Stopping Elasticsearch, which is to have {after} nodes in place of {before}")
    cluster.kubectl(settings, "delete", "statefulset/elasticsearch", "--cascade=foreground", "--timeout=180s")


def _is_elasticsearch(each: dict[str, Any]) -> bool:
    return (each["kind"], each["metadata"]["name"]) == ("StatefulSet", "elasticsearch")


def _remove_left_out(settings: Settings, rendered: str) -> None:
    """Remove what an earlier `make up` has started and this one does not, and Jobs that have to run again.

    That is one which has failed, and the set-up of an Elasticsearch that is not ready: its volume may be a new one.
    """
    wanted = {(each["kind"], each["metadata"]["name"]) for each in overlay.objects(rendered)}
    found = cluster.found(settings, f"{cluster.WORKLOADS},services,poddisruptionbudgets,networkpolicies")
    ready = {each["metadata"]["name"] for each in found if each.get("status", {}).get("readyReplicas")}
    for each in found:
        kind, name = each["kind"], each["metadata"]["name"]
        is_set_up = kind == "Job" and name.startswith("elasticsearch-setup")
        if (kind, name) not in wanted:
            say(f"Removing {kind} {name}")
        elif not cluster.failure(each) and not (is_set_up and "elasticsearch" not in ready):
            continue
        cluster.kubectl(settings, "delete", kind, name)


def _remove_stuck(settings: Settings) -> None:
    """Remove pods that wait for an image or a value in vain, so that new ones look at once whether it is there now."""
    stuck = (each["metadata"] for each in cluster.found(settings, "pods") if cluster.stuck(each))
    if names := [each["name"] for each in stuck if "deletionTimestamp" not in each]:
        say(f"Replacing pods that could not start: {', '.join(names)}")
        cluster.kubectl(settings, "delete", "pods", "--ignore-not-found", *names)


def _wait_until_reached(settings: Settings) -> None:
    """Wait for the port-forwards: one that leads to a pod that stops has to be made anew once that has gone."""
    hint = f"see {overlay.folder(settings) / 'forwards'}"
    _wait(lambda: _leaving(settings) | _not_answering(settings), "reached on 127.0.0.1", hint=hint)


def _leaving(settings: Settings) -> dict[str, str]:
    """The services of which a pod is stopping, but for those on dead nodes, of which nobody hears that they have stopped."""
    stopping = [each for each in cluster.found(settings, "pods") if "deletionTimestamp" in each["metadata"]]
    dead = cluster.dead_nodes(settings) if stopping else ()
    alive = (each for each in stopping if each["spec"].get("nodeName") not in dead)
    return {each["metadata"]["labels"][NAME]: "one of its pods stops" for each in alive}


def _not_answering(settings: Settings) -> dict[str, str]:
    """The services, and the probe, that do not answer on their ports of this machine, with the reason."""
    return {each.name: reason for each, reason in readiness.not_ready(settings, settings.programs).items()}


def _wait(unfinished: Callable[[], Mapping[str, str]], what: str, *, hint: str) -> None:
    """Wait until nothing is unfinished, and say whenever something has changed."""
    deadline = time.monotonic() + SECONDS_TO_BE_READY
    told: Iterable[str] = ()
    while left := unfinished():
        if list(left) != told:
            say(f"Not {what} yet: {', '.join(left)}")
            told = list(left)
        if time.monotonic() > deadline:
            reasons = "\n".join(f"  {name}: {why}" for name, why in left.items())
            raise ClusterError(f"After {SECONDS_TO_BE_READY} seconds these are not {what}:\n{reasons}\n{hint}.")
        time.sleep(PAUSE_SECONDS)


def _wait_for_pods(settings: Settings, kinds: str = cluster.WORKLOADS, *which: str) -> None:
    _wait(
        lambda: cluster.unfinished(settings, kinds, *which),
        "ready",
        hint="`make logs SERVICE=NAME` shows what a container says",
    )


def _print_output(settings: Settings, names: Sequence[str], *, follow: bool) -> None:
    shorts = {each.short: each.name for each in settings.programs}
    wanted = [shorts.get(name, name) for name in names or shorts]
    if follow:
        for line in _followed_output(settings, wanted):
            print(line, end="", flush=True)
        return
    cluster.shown(settings, "logs", f"--selector={NAME} in ({','.join(wanted)})", "--prefix", "--tail=-1")


def _followed_output(settings: Settings, names: Sequence[str]) -> Generator[str]:
    """What the containers of these names have printed, and what they print, each line after the name of its container."""
    # kubectl sets the time between both; what it and the kubelet have to say themselves comes without one.
    timed = re.compile(rf"^(\[.*?\]) ({cluster.TIME}) ")
    lines = cluster.followed(
        settings,
        lambda: cluster.containers(settings, names),
        lambda each, _: (
            "logs",
            each.pod,
            "--prefix",
            "--timestamps",
            "--previous" if each.is_previous else "--follow",
        ),
        lambda line: found[2] if (found := timed.match(line)) else "",
    )
    return (timed.sub(r"\1 ", line) for line in lines)


def _followed_files(settings: Settings, programs: Sequence[Service]) -> Generator[str]:
    """The last lines of each log file, and each new one, in whatever pod."""
    from stack.watch import logs as log_lines

    def arguments(container: cluster.Container, whole: bool) -> Sequence[str]:
        command = log_volume.following(programs, None if whole else log_lines.LINES_BEFORE)
        # Nothing tells the pod that nobody reads any more but the end of what it is given.
        return ("exec", "--stdin", container.pod, "--", "sh", "-c", f"{command} & read -r _; kill $!; wait")

    def time_of(line: str) -> str:
        time = next(map(log_lines.time_of, log_lines.parsed([line])), "")
        return time if re.fullmatch(cluster.TIME, time) else ""

    return cluster.followed(settings, lambda: _running(settings), arguments, time_of)


def _running(settings: Settings) -> list[cluster.Container]:
    """The containers in which there are log files, and commands can be run."""
    found = cluster.containers(settings, (each.name for each in settings.programs))
    return [each for each in found if each.is_running]


def _in_pods(settings: Settings) -> Callable[[str], Iterable[str]]:
    """What a shell command prints in every pod of the services and the probe that runs."""
    pods = [each.pod for each in _running(settings)]
    return lambda command: cluster.lines(settings, pods, command)


def _trace_ids(settings: Settings, beginning: str) -> Callable[[str], Iterable[str]]:
    """What `_in_pods` prints, and the trace ids that Elasticsearch has of pods which have ended, each after a quotation mark."""
    query = {"query": {"prefix": {"trace_id": beginning.lower()}}, "collapse": {"field": "trace_id"}}
    curl = ("curl", "-fsS", "--json", json.dumps(query), "http://localhost:9200/logs-*/_search")

    def printed(command: str) -> Iterator[str]:
        yield from _in_pods(settings)(command)
        if not cluster.exists(settings, "statefulset", "elasticsearch"):
            return
        try:
            answer = cluster.kubectl(settings, "exec", "statefulset/elasticsearch", "--", *curl)
        except ClusterError as error:
            say(f"Elasticsearch, which has the lines of pods that have ended, does not answer: {error}")
            return
        yield from (f'"{each["_source"]["trace_id"]}' for each in json.loads(answer)["hits"]["hits"])

    return printed
