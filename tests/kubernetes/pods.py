"""Pods, and what ends them: an eviction, removal by force, `kill -9` on the node."""

import json
import subprocess
from collections.abc import Collection, Sequence
from typing import Any

from stack.kubernetes import cluster
from stack.kubernetes.cluster import NAME, NAMESPACE, ClusterError
from stack.settings import Settings

from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually

SETTLED_WITHIN_SECONDS = 180
# How a command is run on the node, by the context of a cluster of one node.
ON_THE_NODE = {"lab": ("lab-kubernetes", "inside")}
Pod = dict[str, Any]
# A container's processes are those whose control group is named after it; a pod's own one is the program `pause`.
KILL = """
for process in /proc/[0-9]*; do
    grep -qs -e "$1" "$process/cgroup" && grep -qs "$2" "$process/comm" && kill -9 "${process#/proc/}" && echo killed
done
true
"""


def pods_of(settings: Settings, name: str) -> list[Pod]:
    """The pods of a workload that are not on their way out."""
    found = cluster.found(settings, "pods", f"--selector={NAME}={name}")
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def settle(settings: Settings, gone: Collection[Pod] = ()) -> None:
    """Wait until everything is ready again, and these pods and all that are on their way out have gone."""
    before = {each["metadata"]["uid"] for each in gone}

    def is_settled() -> bool:
        there = cluster.found(settings, "pods")
        leaving = [each for each in there if "deletionTimestamp" in each["metadata"]]
        left = before & {each["metadata"]["uid"] for each in there}
        return not leaving and not left and not cluster.unfinished(settings, "deployments,statefulsets,daemonsets")

    eventually(is_settled, SETTLED_WITHIN_SECONDS, "not everything is ready again")


def evict(settings: Settings, pod: Pod) -> str:
    """Ask for a pod's eviction; why it is refused, or nothing."""
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    try:
        cluster.kubectl(settings, "create", f"--raw={path}", "--filename=-", given=json.dumps(eviction))
    except ClusterError as error:
        return str(error)
    return ""


def remove_by_force(settings: Settings, pods: Sequence[Pod]) -> None:
    """Have the pods killed without any time to stop."""
    names = [each["metadata"]["name"] for each in pods]
    cluster.kubectl(settings, "delete", "pods", *names, "--grace-period=0", "--force")


def kill_process(settings: Settings, pod: Pod, beside: str = "") -> None:
    """Send SIGKILL to what runs in a pod's container, from outside of it, and wait until the kubelet has seen it.

    `beside` names the container that runs beside it, if that one is meant.
    """
    status = _status(pod, beside)
    _kill(settings, status["containerID"].rpartition("/")[2], "")

    def has_restarted() -> bool:
        (now,) = [each for each in pods_of(settings, pod["metadata"]["labels"][NAME]) if _is_same(each, pod)]
        return _status(now, beside)["restartCount"] > status["restartCount"]

    eventually(has_restarted, 60, "the kubelet has not started the container again")


def kill_sandbox(settings: Settings, pod: Pod) -> None:
    """Send SIGKILL to the process that holds a pod's network, and wait until the kubelet has given it another one."""
    _kill(settings, f"pod{pod['metadata']['uid']}", "pause")

    def has_moved() -> bool:
        (now,) = [each for each in pods_of(settings, pod["metadata"]["labels"][NAME]) if _is_same(each, pod)]
        return now["status"].get("podIP") not in (None, pod["status"]["podIP"])

    eventually(has_moved, 60, "the pod has no network again")


def lose_image(settings: Settings, pod: Pod) -> None:
    """Remove the image of a pod from the node, and the pod by force; wait until the next one misses it, and the node says so."""
    name, image = pod["metadata"]["labels"][NAME], cluster.full_name(pod["spec"]["containers"][0]["image"])
    on_the_node(settings, "ctr", "--namespace=k8s.io", "images", "rm", image)
    remove_by_force(settings, [pod])
    eventually(lambda: any(map(cluster.stuck, pods_of(settings, name))), 60, f"{name} does not miss its image")
    eventually(lambda: image not in cluster.images_on_every_node(settings), 120, f"the node has {image} still")


def on_the_node(settings: Settings, *command: str) -> str:
    """What a command prints on the node; it has to succeed."""
    context = cluster.context(settings)
    if context not in ON_THE_NODE:
        missing(f"nothing is known here of how to run a command on the node of {context}")
    done = subprocess.run([*ON_THE_NODE[context], *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return done.stdout


def _status(pod: Pod, beside: str) -> dict[str, Any]:
    kind = "initContainerStatuses" if beside else "containerStatuses"
    (status,) = (each for each in pod["status"][kind] if beside in ("", each["name"]))
    return status


def _is_same(pod: Pod, other: Pod) -> bool:
    return pod["metadata"]["uid"] == other["metadata"]["uid"]


def _kill(settings: Settings, group: str, program: str) -> None:
    assert "killed" in on_the_node(settings, "sh", "-c", KILL, "sh", group, program)
