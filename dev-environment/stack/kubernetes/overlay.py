"""What `make up` lays over the overlay `lab`: the images, the logins, and what `.env` and the shell say of each container.

Both come from docker-compose.dev.yml and docker-compose.devops.yml, as compose would fill them in.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stack import mode, scale
from stack.kubernetes.cluster import NAMESPACE, PART_OF, ClusterError
from stack.local import compose
from stack.services import PROBE, SERVICES
from stack.settings import ROOT, Settings

BASE = ROOT / "dev-environment/kubernetes/overlays/lab"
KUSTOMIZE = ("kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone")
# What runs in the cluster, by the names of compose, each with its ConfigMap; one without gets its logins only.
CONTAINERS = {
    **{each.name: each.name for each in (*SERVICES, PROBE)},
    "prepare": "prepare",
    "prometheus": "prometheus-environment",
    "alertmanager": "alertmanager-environment",
    "postgres": "",
    "postgres-exporter": "",
    "rabbitmq": "",
    "jaeger": "",
    "mailpit": "",
}
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


def write(settings: Settings, images: Mapping[str, str]) -> None:
    """Write the overlay; `images` has the name and tag in the cluster of each image that compose builds."""
    values = folder(settings) / "values"
    logins: dict[str, dict[str, bytes]] = {"alertmanager": _secret_files(settings)}
    given: dict[str, dict[str, bytes]] = {}
    for container, config_map in CONTAINERS.items():
        for name, value in compose.environment(container, settings).items():
            if LOGIN.search(name):
                logins.setdefault(container.removesuffix("-service"), {})[name] = value.encode()
            elif config_map and not NOT_OF_COMPOSE.fullmatch(name):
                given.setdefault(config_map, {})[name] = value.encode()
    if replicas := scale.replicas(mode.scale(settings)):
        stated = " ".join(f"{name}={number}" for name, number in replicas.items())
        given["prometheus-environment"]["INSTANCES"] = stated.encode()
    whole: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [os.path.relpath(BASE, folder(settings).resolve())],
        "labels": [{"pairs": {PART_OF: "all-erp"}}],
        "images": [_image(name, place) for name, place in images.items()],
        "replicas": [
            {"name": name, "count": count}
            for name, count in {PROBE.name: int(settings.values["PROBE"]), **replicas}.items()
        ],
        "configMapGenerator": [
            {"name": name, "behavior": "merge", "files": list(_files(values / name, content))}
            for name, content in given.items()
        ],
        "secretGenerator": [
            {"name": f"{name}-logins", "files": list(_files(values / f"{name}-logins", content))}
            for name, content in logins.items()
        ],
        "patches": [
            {"target": {"kind": "Job"}, "patch": _renamed(_version(images["all-erp/prepare"], given, logins))},
            *(
                {"target": {"kind": "StatefulSet", "name": name}, "patch": _with_arguments(name, settings)}
                for name in LINKED
            ),
        ],
    }
    (folder(settings) / "kustomization.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))


def render(settings: Settings) -> str:
    """The objects of the overlay, as YAML."""
    done = subprocess.run([*KUSTOMIZE, str(folder(settings))], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"kustomize cannot make the objects: {done.stderr.strip()}")
    return done.stdout


def objects(rendered: str) -> list[dict[str, Any]]:
    """Rendered objects, one by one."""
    return list(yaml.load_all(rendered, yaml.CSafeLoader))


def objects_of(rendered: str, wanted: Callable[[str], bool]) -> str:
    """The rendered objects of some kinds."""
    return yaml.safe_dump_all(each for each in objects(rendered) if wanted(each["kind"]))


def images(rendered: str) -> list[str]:
    """The images of all containers."""
    templates = [each["spec"]["template"]["spec"] for each in objects(rendered) if "template" in each.get("spec", {})]
    return [container["image"] for each in templates for container in each["containers"]]


def _image(name: str, place: str) -> dict[str, str]:
    new, _, tag = place.rpartition(":")
    return {"name": name, "newName": new, "newTag": tag}


def _version(image: str, *values: Mapping[str, Mapping[str, bytes]]) -> str:
    """What changes whenever the databases have to be prepared again: a Job cannot be changed, so it gets another name."""
    template = (BASE.parents[1] / "base/prepare.yaml").read_text()
    told = [image, template, *(repr(sorted(each["prepare"].items())) for each in values)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def _renamed(version: str) -> str:
    return yaml.safe_dump([{"op": "replace", "path": "/metadata/name", "value": f"prepare-{version}"}])


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
