"""The cluster, by kubectl: which one it is, what runs in the stack's namespace, and how images get there."""

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from stack.errors import StackError
from stack.report import say
from stack.settings import Settings

NAMESPACE = "all-erp"
PART_OF = "app.kubernetes.io/part-of"
OURS = f"{PART_OF}=all-erp"
NAME = "app.kubernetes.io/name"
# Clusters on this machine, by the names of their contexts, and the command that takes images to them. Others are asked about.
LOADERS = (
    (r"kind-(.+)", "kind load docker-image --name {0}"),
    (r"k3d-(.+)", "k3d image import --cluster {0}"),
    (r"minikube", "minikube image load"),
    (r"lab", "lab-kubernetes load"),
)
# So long after its start a pod may miss its image before that is an error: a registry may fail once, and the kubelet asks
# it again after 10 and 20 seconds.
STUCK_SECONDS = 60
WORKLOADS = "deployments,statefulsets,daemonsets,jobs"
# How often those who follow lines look for new pods.
LOOK_SECONDS = 2.0
# A time of RFC 3339, as a regular expression.
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
FIELDS = ("--server-side", "--field-manager=all-erp", "--force-conflicts")


class ClusterError(StackError):
    """The cluster could not do what was asked for; the message says why and what to do."""


def is_installed() -> bool:
    """Whether there is a kubectl."""
    return bool(shutil.which("kubectl"))


def context(settings: Settings) -> str:
    """The context of the last `make up`, of CONTEXT, or the current one; empty if there is none."""
    return remembered(settings) or settings.values["CONTEXT"] or _output("kubectl", "config", "current-context").strip()


def remembered(settings: Settings) -> str:
    """The context in which the last `make up` has started the stack; empty if there is none."""
    file = context_file(settings)
    return file.read_text() if file.exists() else ""


def context_file(settings: Settings) -> Path:
    """Where `make up` keeps the context."""
    return settings.state / "kubernetes/context"


def is_gone(settings: Settings) -> bool:
    """Whether kubectl no longer knows the context of the last `make up`, as after `kind delete cluster`."""
    return remembered(settings) not in _output("kubectl", "config", "get-contexts", "--output=name").splitlines()


def loader(settings: Settings) -> list[str]:
    """The command that takes images to a cluster of this machine; empty for another cluster."""
    for pattern, command in LOADERS:
        found = re.fullmatch(pattern, context(settings))
        if found and shutil.which(command.split()[0]):
            return shlex.split(command.format(*found.groups()))
    return []


def command(settings: Settings, *arguments: str) -> list[str]:
    """A command of kubectl in the stack's context and namespace."""
    return ["kubectl", f"--context={context(settings)}", f"--namespace={NAMESPACE}", *arguments]


def kubectl(settings: Settings, *arguments: str, given: str = "") -> str:
    """What kubectl prints; `ClusterError` with its own message if it fails."""
    done = subprocess.run(command(settings, *arguments), input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(done.stderr.strip())
    return done.stdout


def shown(settings: Settings, *arguments: str) -> None:
    """Run kubectl on the terminal."""
    subprocess.run(command(settings, *arguments), check=False)


def found(settings: Settings, kinds: str, *arguments: str) -> list[dict[str, Any]]:
    """The objects of these kinds in the namespace, those of the stack unless `arguments` select others."""
    return json.loads(kubectl(settings, "get", kinds, *(arguments or (f"--selector={OURS}",)), "--output=json"))[
        "items"
    ]


def exists(settings: Settings, *what: str) -> bool:
    """Whether there is such an object."""
    return bool(kubectl(settings, "get", *what, "--ignore-not-found", "--output=name"))


def apply(settings: Settings, objects: str, *arguments: str) -> None:
    """Apply rendered objects."""
    kubectl(settings, "apply", *FIELDS, *arguments, "--filename=-", given=objects)


def images_on_every_node(settings: Settings) -> set[str]:
    """The images that no node needs to pull, by their full names.

    A node names the fifty largest only (the kubelet's nodeStatusMaxImages); what runs there it has too.
    """
    held = {
        node["metadata"]["name"]: {name for image in node["status"]["images"] for name in image.get("names") or ()}
        for node in _nodes(settings)
    }
    for pod in found(settings, "pods"):
        spec = pod["spec"]
        running = {each["name"] for each in _statuses(pod) if "running" in each["state"]}
        images = {
            full_name(each["image"])
            for each in (*spec.get("initContainers", ()), *spec["containers"])
            if each["name"] in running
        }
        if images:
            held[spec["nodeName"]] |= images
    return set.intersection(*held.values()) if held else set()


def dead_nodes(settings: Settings) -> set[str]:
    """The names of the nodes that are not ready. What is to start or to end there does so when they are back, if ever."""
    is_ready = {"type": "Ready", "status": "True"}.items()
    return {
        each["metadata"]["name"]
        for each in _nodes(settings)
        if not any(is_ready <= condition.items() for condition in each["status"].get("conditions", ()))
    }


def _nodes(settings: Settings) -> list[dict[str, Any]]:
    return json.loads(kubectl(settings, "get", "nodes", "--output=json"))["items"]


def full_name(image: str) -> str:
    """The name of an image with the registry that it has by default."""
    first, slash, _ = image.partition("/")
    if slash and re.search(r"[.:]|^localhost$", first):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def unfinished(settings: Settings, kinds: str = WORKLOADS, *which: str) -> dict[str, str]:
    """What is not ready yet, by name, with what is known of the reason; `ClusterError` if waiting cannot help.

    `which` are arguments of kubectl that select some of `kinds`.
    """
    workloads, pods = found(settings, kinds, *which), found(settings, "pods")
    left = [each for each in workloads if not _is_finished(each)]
    if any(each["kind"] == "DaemonSet" for each in left):
        dead = dead_nodes(settings)
        there = [each for each in pods if each["spec"].get("nodeName") in dead]
        left = [each for each in left if not _is_finished(each, there)]
    return {each["metadata"]["name"]: _reason(each, pods) for each in left}


def _is_finished(each: dict[str, Any], on_dead_nodes: Iterable[dict[str, Any]] = ()) -> bool:
    """Whether a workload has all that it wants, a DaemonSet but for its pods on dead nodes."""
    status = each.get("status", {})
    if each["kind"] == "Job":
        return bool(status.get("succeeded"))
    if status.get("observedGeneration") != each["metadata"]["generation"]:
        return False
    if each["kind"] == "DaemonSet":
        own = each["spec"]["template"]["metadata"]["labels"][NAME]
        # Every DaemonSet tolerates nodes that are not ready, and so a dead one counts: its pod is ready when the node is.
        dead = {pod["spec"]["nodeName"] for pod in on_dead_nodes if pod["metadata"]["labels"][NAME] == own}
        least = status["desiredNumberScheduled"] - len(dead)
        return min(status.get("updatedNumberScheduled", 0), status["numberReady"]) >= least
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    return counts == {each["spec"]["replicas"]}


def _reason(workload: dict[str, Any], pods: Iterable[dict[str, Any]]) -> str:
    """Why a workload is not ready. Pods of its older versions are on their way out, whatever is wrong with them."""
    if failed := failure(workload):
        raise ClusterError(f"{workload['metadata']['name']} has failed: {failed}. `make up` tries again.")
    wanted = _identity(workload["spec"]["template"])
    for pod in (each for each in pods if _identity(each) == wanted):
        name, status = pod["metadata"]["name"], pod["status"]
        for each in status.get("conditions", ()):
            if each.get("reason") == "Unschedulable":
                return each["message"]
        if (why := stuck(pod)) and _seconds_since(pod["status"]["startTime"]) > STUCK_SECONDS:
            raise ClusterError(
                f"{name} cannot start: {why}. `make up` tries again; an image that this cluster cannot pull must be "
                "in the Docker Engine of this machine, or in REGISTRY; PARTS leaves watchers out."
            )
        for reason, message in _waits(pod):
            return f"{reason}: {message or name}"
    return "it starts"


def stuck(pod: dict[str, Any]) -> str:
    """Why a pod waits in vain, for an image or for a value of its environment; empty if it does not."""
    found = (each for each in _waits(pod) if "Image" in each[0] or each[0] == "CreateContainerConfigError")
    return ": ".join(next(found, ()))


def _seconds_since(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


def _waits(pod: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the containers of a pod wait for: the reason, and what is said of it."""
    for each in _statuses(pod):
        waiting = each["state"].get("waiting", {})
        if reason := waiting.get("reason"):
            yield reason, waiting.get("message", "")


def _statuses(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from pod["status"].get(kind, ())


def failure(job: dict[str, Any]) -> str:
    """Why a Job has been given up; empty if it has not."""
    conditions = job.get("status", {}).get("conditions", ())
    given_up = (each for each in conditions if (each["type"], each["status"]) == ("Failed", "True"))
    return next((each.get("message", "given up") for each in given_up), "")


def _identity(template: dict[str, Any]) -> tuple[str, list[str]]:
    return template["metadata"]["labels"][NAME], [each["image"] for each in template["spec"]["containers"]]


def lines(settings: Settings, pods: Sequence[str], shell: str) -> Iterator[str]:
    """What a shell command prints in each of these pods, as it comes, for as long as it runs."""
    printed: SimpleQueue[str | None] = SimpleQueue()

    def read(process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            printed.put(line)
        printed.put(None)

    # Without `true`, kubectl would tell on the terminal that a pod has not what another one has.
    commands = [command(settings, "exec", pod, "--", "sh", "-c", f"{shell}; true") for pod in pods]
    started = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True, errors="replace") for each in commands]
    for process in started:
        Thread(target=read, args=(process,), daemon=True).start()
    try:
        reading = len(started)
        while reading:
            line = printed.get()
            reading -= line is None
            if line is not None:
                yield line
    finally:
        for process in started:
            process.terminate()


class Container(NamedTuple):
    """The container of a pod that is meant unless another one is named, once it has been started."""

    pod: str
    uid: str
    """Identifies the pod, whose name another one may have had before."""
    id: str
    """Identifies the container, which is another one after a restart."""
    is_running: bool
    """Of a pod that is on its way out this is false: nobody says when its container has ended."""
    is_previous: bool
    """Whether another one has taken its place."""


def containers(settings: Settings, names: Iterable[str]) -> list[Container]:
    """The containers of the pods that have one of these values of the label `NAME`, and in each pod the one before it."""
    there = []
    for pod in found(settings, "pods", f"--selector={NAME} in ({','.join(names)})"):
        name, uid, stops = pod["metadata"]["name"], pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]
        for status in pod["status"].get("containerStatuses", ()):
            current, before = status.get("containerID"), status.get("lastState", {}).get("terminated", {})
            if status["name"] != _default_container(pod) or not current:
                continue
            if before.get("containerID", current) != current:
                there.append(Container(name, uid, before["containerID"], is_running=False, is_previous=True))
            is_running = "running" in status["state"] and not stops
            there.append(Container(name, uid, current, is_running, is_previous=False))
    return there


def _default_container(pod: dict[str, Any]) -> str:
    annotations = pod["metadata"].get("annotations", {})
    return annotations.get("kubectl.kubernetes.io/default-container", pod["spec"]["containers"][0]["name"])


def followed(
    settings: Settings,
    there: Callable[[], Iterable[Container]],
    arguments: Callable[[Container, bool], Sequence[str]],
    time_of: Callable[[str], str],
) -> Generator[str]:
    """The lines that kubectl prints of containers as they come, also of containers that are started later; never ends.

    `there` has the containers to follow. `arguments` are kubectl's for one of them; the flag says whether all of its
    lines are wanted, which those of a pod that was there from the beginning are not. A pod is read again when its container
    has been restarted, or kubectl has lost it: `time_of` then tells which lines have been there already. It has `TIME` of
    a line, or is empty: such a line is always new. While the cluster does not answer, those that were there are followed.
    """
    printed: SimpleQueue[str] = SimpleQueue()
    readers: dict[str, _Reader] = {}
    now = list(there())
    at_first = {each.uid for each in now}
    read = {each.id for each in now if each.is_previous}
    told: set[tuple[str, str]] = set()
    is_away = False
    if not now:
        say("None of these has started yet")
    try:
        while True:
            for each in now:
                last = readers.get(each.uid)
                if (last and last.is_alive()) or (each.id in read and not each.is_running):
                    continue
                if last and last.container.id == each.id and (why := last.failure()) and (each.id, why) not in told:
                    told.add((each.id, why))
                    say(f"{each.pod} cannot be followed: {why}")
                read.add(each.id)
                known = last.known if last else ""
                call = command(settings, *arguments(each, bool(known) or each.uid not in at_first))
                readers[each.uid] = _Reader(each, call, printed, known, time_of)
            deadline = time.monotonic() + LOOK_SECONDS
            with suppress(Empty):
                while (left := deadline - time.monotonic()) > 0:
                    yield printed.get(timeout=left)
            try:
                now, is_away = list(there()), False
            except ClusterError as error:
                if not is_away:
                    say(f"The cluster does not say what runs, and is asked again: {_last_line(str(error))}")
                is_away = True
            there_still = {each.uid for each in now}
            readers = {uid: each for uid, each in readers.items() if uid in there_still or each.is_alive()}
    finally:
        for reader in readers.values():
            reader.end()


class _Reader(Thread):
    """Puts each line that a command prints of a container into a queue, but for those with a time up to the last known one."""

    def __init__(
        self,
        container: Container,
        command: Sequence[str],
        printed: "SimpleQueue[str]",
        known: str,
        time_of: Callable[[str], str],
    ) -> None:
        """Begin at once. `known` is the time of the last line that is known, or empty."""
        super().__init__(daemon=True)
        self.container = container
        self.known = known
        self._known_before = known
        self._printed = printed
        self._time_of = time_of
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace")
        self.start()

    def run(self) -> None:
        """Read until the command ends."""
        assert self._process.stdout
        is_known = bool(self._known_before)
        for line in self._process.stdout:
            time = self._time_of(line)
            is_known = is_known and time <= self._known_before
            if not (is_known and time):
                self._printed.put(line)
                self.known = max(self.known, time)
        self._process.wait()

    def failure(self) -> str:
        """Why the command has failed, once it has ended; empty if it has not failed, or has printed something new."""
        assert self._process.stderr
        is_in_vain = self._process.returncode and self.known == self._known_before
        return _last_line(self._process.stderr.read()) if is_in_vain else ""

    def end(self) -> None:
        """End the command, and wait until it has ended."""
        self._process.terminate()
        self._process.wait()


def _last_line(told: str) -> str:
    """What kubectl says in the end; before that come lines of its own log, each with a time, and so never the same."""
    return told.strip().rpartition("\n")[2]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
