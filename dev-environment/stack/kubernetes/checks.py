"""What Kubernetes mode needs: kubectl, a cluster that may be touched and is new enough, room in it, images, free ports."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from typing import Any

from stack import doctor
from stack.docker import engine
from stack.docker.parts import HA
from stack.doctor import Finding
from stack.kubernetes import cluster, forwards, overlay
from stack.kubernetes.cluster import NAMESPACE, OURS, PART_OF, ClusterError
from stack.settings import Settings

# The oldest that the manifests are written for.
LEAST = (1, 30)
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
LOCAL_MODE = "`make up MODE=local` needs no cluster."


def must_have_kubectl() -> None:
    """`ClusterError` if there is no kubectl."""
    if not cluster.is_installed():
        raise ClusterError(f"MODE=kubernetes: kubectl is not installed. Install 1.30 or later, or: {LOCAL_MODE}")


def must_be_meant(settings: Settings) -> None:
    """Ask before anything is done to a cluster that is not one of this machine's, unless CONTEXT names it."""
    name, asked, last = cluster.context(settings), settings.values["CONTEXT"], cluster.remembered(settings)
    if asked and last and asked != last:
        raise ClusterError(f"The stack of this checkout is in the cluster of context {last!r}: `make clean` first.")
    if not name or cluster.loader(settings) or asked or last:
        return
    if not sys.stdin.isatty():
        raise ClusterError(
            f"The current context of kubectl is {name!r}, which is no cluster of this machine: "
            f"`make up MODE=kubernetes CONTEXT={name}` means it, `kubectl config use-context` chooses another."
        )
    if input(f"The current context of kubectl is {name!r}, which is no cluster of this machine. Go on? [y/N] ") != "y":
        raise ClusterError("Nothing has been done.")


def findings(settings: Settings) -> Iterator[Finding]:
    """Check the cluster and this machine."""
    name = cluster.context(settings)
    if not name:
        yield Finding(
            "error", "kubectl has no current context", f"`kubectl config use-context NAME` sets it. {LOCAL_MODE}"
        )
        return
    try:
        versions = json.loads(cluster.kubectl(settings, "version", "--output=json", "--request-timeout=10s"))
    except ClusterError as error:
        cure = f"Start the cluster, or name the context of another one: CONTEXT=NAME. {LOCAL_MODE}"
        yield Finding("error", f"The cluster of context {name!r} does not answer: {str(error).splitlines()[-1]}", cure)
        return
    yield Finding("ok", f"The cluster of context {name!r} answers")
    yield from (
        _version(what, versions[key]) for what, key in (("kubectl", "clientVersion"), ("The cluster", "serverVersion"))
    )
    yield namespace(settings)
    yield _storage(settings)
    yield _metrics(settings)
    yield _images(settings)
    if not forwards.is_running(settings):
        ports = {
            each.variable: (settings.port(each.variable), each.container)
            for each in forwards.wanted(overlay.CONTAINERS)
        }
        yield from doctor.ports(ports, socket.SOCK_STREAM)


def _version(what: str, found: dict[str, str]) -> Finding:
    version = tuple(int(re.sub(r"\D", "", found[each])) for each in ("major", "minor"))
    least = ".".join(map(str, LEAST))
    if version < LEAST:
        return Finding("error", f"{what} is {found['gitVersion']}", f"{least} or later is needed: install a newer one.")
    return Finding("ok", f"{what} is {found['gitVersion']}")


def namespace(settings: Settings) -> Finding:
    """Whether the namespace is this checkout's, or does not exist."""
    labels = _get(settings, "namespace", NAMESPACE).get("metadata", {}).get("labels")
    if labels is not None and labels.get(PART_OF) != NAMESPACE:
        cure = f"Take another cluster, or `kubectl delete namespace {NAMESPACE}` if nobody needs what is in it."
        return Finding("error", f"The namespace {NAMESPACE} is somebody else's: it has no label {OURS}", cure)
    if labels is not None and not cluster.remembered(settings):
        cure = f"`make clean` there, or `kubectl delete namespace {NAMESPACE}` if nobody needs what is in it."
        return Finding("error", f"The namespace {NAMESPACE} holds the stack of another checkout", cure)
    return Finding("ok", f"The namespace {NAMESPACE} is {'ours' if labels else 'free'}")


def nodes(settings: Settings, watchers: Collection[str]) -> Iterator[Finding]:
    """Whether Elasticsearch, which does not run, can start without the two nodes that it may have had."""
    if "elasticsearch" not in watchers or HA in watchers or not (volumes := volumes_of_other_nodes(settings)):
        return
    if not _get(settings, "statefulset", "elasticsearch"):
        yield Finding(
            "error",
            "Elasticsearch was stopped as one of three nodes, and alone it elects nobody",
            'Start the three, PARTS="all ha", and then what you want: that moves the log lines to one node. Or give the log '
            f"lines up: kubectl -n {NAMESPACE} delete persistentvolumeclaims data-elasticsearch-0 {' '.join(volumes)}",
        )


def volumes_of_other_nodes(settings: Settings) -> list[str]:
    """The names of the claims of the second and third node of Elasticsearch; none if all log lines are on the first."""
    claims = (each["metadata"] for each in _get(settings, "persistentvolumeclaims").get("items", ()))
    names = (each["name"] for each in claims if "deletionTimestamp" not in each)
    return [each for each in names if re.fullmatch(r"data-elasticsearch-[1-9]", each)]


def _storage(settings: Settings) -> Finding:
    classes = [each["metadata"] for each in _get(settings, "storageclasses").get("items", ())]
    default = [each["name"] for each in classes if each.get("annotations", {}).get(DEFAULT_CLASS) == "true"]
    if not default:
        there = ", ".join(each["name"] for each in classes) or "none at all"
        cure = f"`kubectl annotate storageclass NAME {DEFAULT_CLASS}=true` makes one the default."
        return Finding("error", f"The cluster has no default StorageClass (there is {there})", cure)
    return Finding("ok", f"Volumes are made by the StorageClass {default[0]}")


def _metrics(settings: Settings) -> Finding:
    if not _get(settings, "apiservice", "v1beta1.metrics.k8s.io"):
        cure = "`kubectl top` and autoscalers need metrics-server; all else works without."
        return Finding("warning", "The cluster has no metrics API", cure)
    return Finding("ok", "The cluster has a metrics API")


def _images(settings: Settings) -> Finding:
    if reason := engine.why_unavailable():
        return Finding("error", f"The images of the services are built by Docker, and {reason}", LOCAL_MODE)
    if loader := cluster.loader(settings):
        return Finding("ok", f"Images get into the cluster by `{' '.join(loader)}`")
    if registry := settings.values["REGISTRY"]:
        return Finding("ok", f"Images get into the cluster by {registry}")
    cure = "Set REGISTRY in .env to where this machine may push and the cluster may pull (registry.example.com/team)."
    return Finding("error", "The cluster is not on this machine, so images must be pushed for it", cure)


def _get(settings: Settings, *what: str) -> dict[str, Any]:
    """What there is of something; empty if there is none, or nobody may look."""
    call = cluster.command(settings, "get", *what, "--output=json", "--ignore-not-found")
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout else {}
