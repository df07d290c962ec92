"""Writers inside the cluster, who reach the services as the services reach each other: a pod like the probe's."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stack.kubernetes import cluster
from stack.kubernetes.cluster import NAME
from stack.services import PROBE
from stack.settings import ROOT, Settings

from tests.kubernetes.writers import WORKING

FILES = ("chaos/books.py", "chaos/load.py", "chaos/report.py", "kubernetes/writers.py")
WRITERS = "writers"
MEMORY = "256Mi"


class Writers:
    """Writers at work, and what they have seen once they have ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdout
        assert process.stdout.readline().strip() == WORKING

    def end(self) -> dict[str, Any]:
        """Let them end, and return what they print."""
        said, _ = self._process.communicate("\n", timeout=300)
        return json.loads(said)


@contextmanager
def working(settings: Settings) -> Iterator[Writers]:
    """Writers that work until they are told to end, with connections that they keep and without repeating a request."""
    cluster.kubectl(settings, "apply", "--filename=-", given=json.dumps(_objects(settings)))
    cluster.kubectl(settings, "wait", f"pod/{WRITERS}", "--for=condition=Ready", "--timeout=60s")
    command = cluster.command(settings, "exec", "--stdin", WRITERS, "--", "python", "-m", "tests.kubernetes.writers")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Writers(process)
    finally:
        process.kill()
        process.wait()
        cluster.kubectl(settings, "delete", f"pod/{WRITERS}", "--grace-period=0", "--force")


def _objects(settings: Settings) -> dict[str, Any]:
    """The pod, its program, and its door to the services."""
    (probe,) = cluster.found(settings, "deployments", f"--field-selector=metadata.name={PROBE.name}")
    spec = probe["spec"]["template"]["spec"]
    spec.pop("initContainers", None)  # what ships the probe's log lines
    (container,) = spec["containers"]
    del container["readinessProbe"]
    container |= {"name": WRITERS, "command": ["sleep", "infinity"], "resources": {"limits": {"memory": MEMORY}}}
    container["volumeMounts"].append({"name": "program", "mountPath": "/app/tests"})
    items = [{"key": file.replace("/", "."), "path": file} for file in FILES]
    spec["volumes"].append({"name": "program", "configMap": {"name": WRITERS, "items": items}})
    program = {file.replace("/", "."): (ROOT / "tests" / file).read_text() for file in FILES}
    of_writers = {"matchLabels": {NAME: WRITERS}}
    door = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "service"}},
        "ingress": [{"from": [{"podSelector": of_writers}], "ports": [{"port": "http"}]}],
    }
    name = {"name": WRITERS}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": program},
            {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": name, "spec": door},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**name, "labels": of_writers["matchLabels"]},
                "spec": spec,
            },
        ],
    }
