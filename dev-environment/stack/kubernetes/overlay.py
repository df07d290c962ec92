"""What `make up` lays over the overlay `lab`: the images, the logins, and what `.env` and the shell say of each container.

Both come from docker-compose.dev.yml and docker-compose.devops.yml, as compose would fill them in.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stack import mode, scale
from stack.docker.parts import HA, jobs
from stack.kubernetes.cluster import NAMESPACE, PART_OF, ClusterError
from stack.local import compose
from stack.services import PROBE, SERVICES
from stack.settings import ROOT, Settings

OVERLAYS = ROOT / "dev-environment/kubernetes/overlays"
NAMES = sorted(each.parent.name for each in OVERLAYS.glob("*/kustomization.yaml"))
BASE = OVERLAYS / "lab"
RULES = ROOT / "dev-environment/prometheus/rules"
WATCHING = ROOT / "dev-environment/kubernetes/watchers"
LABELS = {
    "pairs": {PART_OF: "all-erp"},
    "includeTemplates": True,
    "fields": [{"path": "spec/volumeClaimTemplates/metadata/labels", "kind": "StatefulSet", "create": True}],
}
KUSTOMIZE = ("kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone")
# It runs once on each node.
NODE_EXPORTER = "node-exporter"
# What runs in the cluster, by the names of compose, each with its ConfigMap; one without gets its logins only.
CONTAINERS = {
    **{each.name: each.name for each in (*SERVICES, PROBE)},
    "prepare": "prepare",
    "prometheus": "prometheus-environment",
    "alertmanager": "alertmanager-environment",
    "postgres": "",
    NODE_EXPORTER: "",
    "postgres-exporter": "",
    "rabbitmq": "",
    "jaeger": "",
    "mailpit": "",
    "grafana": "grafana-environment",
    "kibana": "kibana-environment",
    "kibana-setup": "kibana-setup",
    "elasticsearch": "elasticsearch-environment",
    "elasticsearch-setup": "",
    "elasticsearch-exporter": "",
    "otel-collector": "otel-collector-environment",
}
# It is in the pods of the services, where Elasticsearch runs, and is not chosen by its own name.
SHIPPER = "otel-collector"
# `make up PARTS=…` can leave out all others.
NEEDED = {*(each.name for each in (*SERVICES, PROBE)), "prepare", "postgres", "rabbitmq"}
WATCHERS = [each for each in CONTAINERS if each not in {*NEEDED, SHIPPER}]
# What the folder `watchers` adds to the overlay, by the watcher that needs it.
COMPONENTS = {"grafana": "grafana", "kibana": "kibana", "elasticsearch": "elasticsearch", HA: "ha"}
WITH_HA = {"elasticsearch": "elasticsearch-ha"}
# How many there are of a watcher with `ha`.
PAIRS = {"prometheus": 2, "alertmanager": 3, "elasticsearch": 3}
# How many there are of a service unless somebody says so, as in kubernetes/base.
SCALE = "2"
LOGIN = re.compile(r"PASSWORD|SECRET|ADMINISTRATOR|_HEADERS$")
# In a cluster, calls go to the ready replicas (kubernetes/base/kustomization.yaml), and kubernetes/watchers says who is
# one of several.
NOT_OF_COMPOSE = re.compile(r"SERVICES__\w+|REPLICA|INSTANCES|CLUSTER_PEER")
# Their arguments say where they are on this machine, which alerts link to.
LINKED = ("prometheus", "alertmanager")
SECRET_FILES = {"slack_webhook_url": "SLACK_WEBHOOK_URL_FILE", "smtp_password": "SMTP_PASSWORD_FILE"}


def folder(settings: Settings) -> Path:
    """Where the overlay is written."""
    return settings.state / "kubernetes"


def write(settings: Settings, images: Mapping[str, str], watchers: Collection[str]) -> None:
    """Write the overlay.

    `images` has the name and tag in the cluster of each image that compose builds; `watchers` are those that run, as
    `parts.chosen` says.
    """
    values = folder(settings) / "values"
    logins: dict[str, dict[str, bytes]] = {"alertmanager": _secret_files(settings)}
    given: dict[str, dict[str, bytes]] = {}
    for container, config_map in CONTAINERS.items():
        if container not in {*NEEDED, *watchers}:
            continue
        for name, value in compose.environment(container, settings).items():
            if LOGIN.search(name):
                logins.setdefault(container.removesuffix("-service"), {})[name] = value.encode()
            elif config_map and not NOT_OF_COMPOSE.fullmatch(name):
                given.setdefault(config_map, {})[name] = value.encode()
    replicas = scale.replicas(mode.scale(settings) or SCALE) | {PROBE.name: int(settings.values["PROBE"])}
    if "prometheus" in watchers:
        stated = settings.values["INSTANCES"] or _stated(replicas, watchers)
        given["prometheus-environment"]["INSTANCES"] = stated.encode()
    whole: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [_composed(settings, watchers)],
        "labels": [LABELS],
        "images": [_image(name, place) for name, place in images.items()],
        "replicas": [{"name": name, "count": count} for name, count in replicas.items()],
        "configMapGenerator": [
            {"name": name, "behavior": "merge", "files": list(_files(values / name, content))}
            for name, content in given.items()
        ],
        "secretGenerator": [
            {"name": f"{name}-logins", "files": list(_files(values / f"{name}-logins", content))}
            for name, content in logins.items()
        ],
        "patches": [
            *(
                {"target": {"kind": "StatefulSet", "name": name}, "patch": _with_arguments(name, settings)}
                for name in LINKED
            ),
            *(
                {"target": {"kind": kind, "name": f"{name}(-cluster)?"}, "patch": yaml.safe_dump(_nothing(kind, name))}
                for name in WATCHERS
                if name not in watchers
                for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "Service", "PodDisruptionBudget")
            ),
        ],
    }
    (folder(settings) / "kustomization.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))


def render(settings: Settings) -> str:
    """The objects of what `write` has written, as YAML."""
    return _yaml(_kustomized(folder(settings)))


def manifests(name: str) -> str:
    """The objects of an overlay of the checkout, as YAML.

    The operator of Prometheus gets the rules as objects too, which kustomize cannot make of files.
    """
    rendered = _kustomized(OVERLAYS / name)
    has_operator = any(each["kind"] == "Prometheus" for each in rendered)
    return _yaml([*rendered, *(_rules() if has_operator else ())])


def _kustomized(of: Path) -> list[dict[str, Any]]:
    """The objects of a folder.

    A Job cannot be changed, so the name of each ends with a hash of what it does; its ConfigMaps and Secrets have one too.
    """
    done = subprocess.run([*KUSTOMIZE, str(of)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"kustomize cannot make the objects: {done.stderr.strip()}")
    rendered = objects(done.stdout)
    for each in rendered:
        if each["kind"] == "Job":
            what = json.dumps(each["spec"], sort_keys=True).encode()
            each["metadata"]["name"] += f"-{hashlib.sha256(what).hexdigest()[:8]}"
    return rendered


def _rules() -> Iterator[dict[str, Any]]:
    for file in sorted(RULES.glob("*.yml")):
        yield {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": file.stem, "namespace": NAMESPACE, "labels": {PART_OF: "all-erp"}},
            "spec": yaml.safe_load(file.read_text()),
        }


def objects(rendered: str) -> list[dict[str, Any]]:
    """Rendered objects, one by one."""
    return list(yaml.load_all(rendered, yaml.CSafeLoader))


def objects_of(rendered: str, wanted: Callable[[str], bool]) -> str:
    """The rendered objects of some kinds."""
    return _yaml(each for each in objects(rendered) if wanted(each["kind"]))


def images(rendered: str) -> list[str]:
    """The images of all containers."""
    pods = [each["spec"]["template"]["spec"] for each in objects(rendered) if "template" in each.get("spec", {})]
    return [each["image"] for pod in pods for each in (*pod.get("initContainers", ()), *pod["containers"])]


class _Quoted(yaml.CSafeDumper):
    """Writes every string in quotes: kubectl would read `1e3` as a number, which PyYAML does not."""


_Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _yaml(rendered: Iterable[dict[str, Any]]) -> str:
    return yaml.dump_all(rendered, Dumper=_Quoted)


def _image(name: str, place: str) -> dict[str, str]:
    new, _, tag = place.rpartition(":")
    return {"name": name, "newName": new, "newTag": tag}


def _stated(replicas: Mapping[str, int], watchers: Collection[str]) -> str:
    """How many there ought to be of each job of Prometheus, as its start.sh reads it: none of what does not run.

    How many nodes there will be, nobody knows.
    """
    pairs = PAIRS if HA in watchers else {}
    numbers = {each: replicas.get(each, pairs.get(each, 1)) for each in {*NEEDED, *watchers}}
    # Its exporter tells of all nodes.
    numbers["elasticsearch-exporter"] = numbers.get("elasticsearch", 0)
    known = {job: numbers.get(host, 0) for job, host in jobs() if host != NODE_EXPORTER or host not in watchers}
    return " ".join(f"{job}={number}" for job, number in known.items())


def _composed(settings: Settings, watchers: Collection[str]) -> str:
    """Write the overlay `lab` with its components, in a folder of its own: only so can ConfigMaps of theirs be changed."""
    composed = folder(settings).resolve() / "composed"
    composed.mkdir(exist_ok=True)
    components = [COMPONENTS, *([WITH_HA] if HA in watchers else ())]
    used = [WATCHING / place for each in components for name, place in each.items() if name in watchers]
    whole = {
        "resources": [os.path.relpath(BASE, composed)],
        "components": [os.path.relpath(each, composed) for each in used],
    }
    (composed / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    return composed.name


def _nothing(kind: str, name: str) -> dict[str, Any]:
    return {"$patch": "delete", "kind": kind, "metadata": {"name": name}}


def _with_arguments(name: str, settings: Settings) -> str:
    path = "/spec/template/spec/containers/0/args"
    return yaml.safe_dump([{"op": "replace", "path": path, "value": compose.arguments(name, settings)}])


def _files(into: Path, content: Mapping[str, bytes]) -> Iterator[str]:
    """Write each value to a file: in `literals` kustomize takes quotes away, and `envs` knows no line breaks."""
    into.mkdir(parents=True, exist_ok=True)
    for name, value in content.items():
        (into / name).write_bytes(value)
        yield f"{name}={into / name}"


def _secret_files(settings: Settings) -> dict[str, bytes]:
    try:
        return {name: (ROOT / settings.values[variable]).read_bytes() for name, variable in SECRET_FILES.items()}
    except OSError as error:
        raise ClusterError(f"{error.filename} cannot be read: {error.strerror}.") from error
