"""The overlay `production`: the API server takes every object of it, by the operators' own definitions of theirs.

The definitions come from the operators' Go modules, and are in the cluster for these tests only; the operators are not.
"""

import copy
import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack.kubernetes import cluster, overlay
from stack.settings import ROOT, read

from tests.fixtures.strict import missing
from tests.kubernetes.conftest import must_be_on_this_machine

Object = dict[str, Any]
Apply = Callable[[list[Object]], "subprocess.CompletedProcess[str]"]

# The module of each operator, and the folder in it that has the definitions.
MODULES = {
    "github.com/cloudnative-pg/cloudnative-pg@v1.27.1": "config/crd/bases",
    "github.com/rabbitmq/cluster-operator/v2@v2.16.0": "config/crd/bases",
    "sigs.k8s.io/gateway-api@v1.4.0": "config/crd/standard",
    "github.com/prometheus-operator/prometheus-operator@v0.92.0": "example/prometheus-operator-crd",
    "github.com/elastic/cloud-on-k8s/v3@v3.5.0": "config/crds/v1",
}
README = (ROOT / "dev-environment/kubernetes/README.md").read_text()
OBJECTS = overlay.objects(overlay.manifests("production")) if shutil.which("kubectl") else []
OF_KUBERNETES = {"", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"}
OPERATED = [each for each in OBJECTS if each["apiVersion"].rpartition("/")[0] not in OF_KUBERNETES]


class Loader(yaml.CSafeLoader):
    """A `=` is a word to Kubernetes."""


Loader.add_constructor("tag:yaml.org,2002:value", yaml.CSafeLoader.construct_scalar)


def name_of(each: Object) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def folder_of(module: str) -> Path:
    """Where a Go module is on this machine, fetched if it is not."""
    if not shutil.which("go"):
        missing("go, which fetches the operators' definitions, is not installed")
    done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"the Go module {module} is not to be had: {json.loads(done.stdout or '{}').get('Error', done.stderr)}")
    return Path(json.loads(done.stdout)["Dir"])


def definitions() -> list[Object]:
    """The definitions of the kinds that the overlay uses."""
    used = {(each["apiVersion"].partition("/")[0], each["kind"]) for each in OPERATED}
    files = (file for module, folder in MODULES.items() for file in sorted((folder_of(module) / folder).glob("*.yaml")))
    found = (each for file in files for each in yaml.load_all(file.read_text(), Loader) if each)
    return [each for each in found if (each["spec"]["group"], each["spec"]["names"]["kind"]) in used]


@pytest.fixture(scope="module")
def apply() -> Iterator[Apply]:
    """A dry run of objects in a namespace like ours, in a cluster that knows the kinds of the operators."""
    settings = read()
    must_be_on_this_machine(settings)
    kubectl = ["kubectl", f"--context={cluster.context(settings)}"]

    def run(*arguments: str, given: object = None) -> "subprocess.CompletedProcess[str]":
        text = "" if given is None else yaml.safe_dump_all(given)
        return subprocess.run([*kubectl, *arguments], input=text, capture_output=True, text=True, check=False)

    there = set(run("get", "customresourcedefinitions", "--output=name").stdout.split())
    lacking = [
        each
        for each in definitions()
        if f"{each['kind']}.apiextensions.k8s.io/{each['metadata']['name']}".lower() not in there
    ]
    (namespace,) = (copy.deepcopy(each) for each in OBJECTS if each["kind"] == "Namespace")
    namespace["metadata"]["name"] += f"-test-{secrets.token_hex(4)}"
    namespace["metadata"]["labels"]["pod-security.kubernetes.io/warn"] = "restricted"
    mine = [*lacking, namespace]

    def dry_run(objects: list[Object]) -> "subprocess.CompletedProcess[str]":
        own = namespace["metadata"]["name"]
        moved = [
            each | {"metadata": each["metadata"] | {"name" if each["kind"] == "Namespace" else "namespace": own}}
            for each in objects
        ]
        return run("apply", "--server-side", "--dry-run=server", "--filename=-", given=moved)

    try:
        made = run("apply", "--server-side", "--filename=-", given=mine)
        assert made.returncode == 0, made.stderr
        run(
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            *(f"crd/{each['metadata']['name']}" for each in lacking),
        )
        yield dry_run
    finally:
        run("delete", "--ignore-not-found", "--filename=-", given=mine)


def test_the_readme_names_the_versions_that_are_tried():
    versions = [re.search(r"@v(\d+\.\d+)", module)[1] for module in MODULES]
    tried = README.partition("\n## Production\n")[2].partition("takes every object of it")[0]
    assert [each for each in versions if each not in tried] == []


def test_the_cluster_takes_every_object(apply):
    done = apply(OBJECTS)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(OBJECTS)


@pytest.mark.parametrize("each", OPERATED, ids=name_of)
def test_the_cluster_refuses_a_field_that_an_operator_does_not_know(apply, each):
    wrong = copy.deepcopy(each)
    wrong["spec"]["noSuchField"] = 1
    done = apply([wrong])
    assert done.returncode != 0
    assert "noSuchField" in done.stderr


def test_the_pods_of_elasticsearch_and_kibana_are_taken_too(apply):
    """The definitions of ECK leave them open, so they are tried as templates of Kubernetes, with what ECK adds."""
    added = {
        "image": "any",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    found = {
        name_of(each): holder["podTemplate"]
        for each in OPERATED
        for holder in (each["spec"], *each["spec"].get("nodeSets", ()))
        if "podTemplate" in holder
    }
    assert found.keys() == {"Elasticsearch/elasticsearch", "Kibana/kibana"}
    templates = [
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": name.partition("/")[2], "namespace": "any"},
            "template": template
            | {"spec": template["spec"] | {"containers": [each | added for each in template["spec"]["containers"]]}},
        }
        for name, template in found.items()
    ]
    done = apply(templates)
    assert (done.returncode, done.stderr) == (0, "")
