"""The manifests of Kubernetes say the same as the compose files: names, ports, limits, images, arguments, environment."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack.kubernetes import overlay, verbs
from stack.kubernetes.cluster import NAME
from stack.local import compose
from stack.services import PROBE, SERVICES
from stack.settings import ROOT, read

from tests.configs.test_compose import CONTAINERS
from tests.configs.test_services import behind_haproxy
from tests.fixtures import yaml_files
from tests.fixtures.strict import missing

KUBERNETES = ROOT / "dev-environment/kubernetes"
BASE, LAB, WATCHERS = KUBERNETES / "base", KUBERNETES / "overlays/lab", KUBERNETES / "watchers"
COMPONENTS = [WATCHERS / each for each in overlay.COMPONENTS.values()]
FOLDERS = (BASE, LAB, WATCHERS, *COMPONENTS)
SETTINGS = read({}, ROOT / "no such file")
Object = dict[str, Any]


def objects(file: Path) -> list[Object]:
    return list(yaml.load_all(file.read_text(), yaml.CSafeLoader))


def literals(folder: Path) -> dict[str, dict[str, str]]:
    """The values of each ConfigMap that a kustomization writes out."""
    maps = yaml_files.load(folder / "kustomization.yaml").get("configMapGenerator", ())
    return {each["name"]: dict(line.split("=", 1) for line in each.get("literals", ())) for each in maps}


DEPLOYMENT, *_ = objects(BASE / "service/deployment.yaml")
ALONE = {  # what compose calls a container, and is no service
    each["metadata"]["name"]: each
    for folder in FOLDERS
    for file in yaml_files.load(folder / "kustomization.yaml")["resources"]
    if file.endswith(".yaml")
    for each in objects(folder / file)
    if "template" in each.get("spec", {})
}
TEMPLATES = {DEPLOYMENT["metadata"]["name"]: DEPLOYMENT, **ALONE}
# Compose's limits of these are other containers' too.
LIKE = {"service": "auth-service"}
SHIPPING = objects(WATCHERS / "elasticsearch/shipper.yaml")[0]["spec"]["template"]["spec"]


@pytest.mark.parametrize("service", SERVICES, ids=lambda each: each.short)
def test_a_service_has_the_name_port_and_image_of_the_table(service):
    own = yaml_files.load(BASE / service.short / "kustomization.yaml")
    assert own["namePrefix"] + "service" == service.name
    assert own["labels"][0]["pairs"] == {"app.kubernetes.io/name": service.name}
    image, _, tag = CONTAINERS[service.name]["image"].partition(":")
    assert own["images"] == [{"name": "all-erp/service", "newName": image, "newTag": tag}]
    changed = {each["target"]["kind"]: yaml.safe_load(each["patch"]) for each in own["patches"]}
    ports = [op["value"] for each in changed.values() for op in each if op["path"].lower().endswith("port")]
    assert ports == [service.port, service.port]
    assert changed["Deployment"][1]["value"] == f"{service.short}-logins"


def test_the_base_has_every_service_of_the_table_and_no_other():
    folders = {path.parent.name for path in BASE.glob("*/kustomization.yaml")} - {"service"}
    assert folders == {each.short for each in SERVICES}
    assert folders <= set(yaml_files.load(BASE / "kustomization.yaml")["resources"])


@pytest.mark.parametrize("container", [each for each, name in overlay.CONTAINERS.items() if name])
def test_the_environment_is_that_of_compose_but_for_the_logins(container, monkeypatch):
    """And for where the services answer: a cluster has an address for those that are ready."""
    monkeypatch.setattr(compose.os, "environ", {})
    name = overlay.CONTAINERS[container]
    own = literals(BASE / container.removesuffix("-service")) if container.endswith("-service") else {}
    of_all = {name: values for folder in FOLDERS for name, values in literals(folder).items()}
    written = (of_all | own)["service" if own else name]
    common = literals(BASE)["environment"] if own or container == PROBE.name else {}
    of_compose = {
        key: value
        for key, value in compose.environment(container, SETTINGS).items()
        if not overlay.LOGIN.search(key) and not overlay.NOT_OF_COMPOSE.fullmatch(key)
    }
    assert {key: (common | written).get(key) for key in of_compose} == of_compose
    assert written.keys() - {"INSTANCES"} <= of_compose.keys()


def test_what_runs_is_what_the_verbs_know():
    assert overlay.CONTAINERS.keys() == ALONE.keys() | {each.name for each in SERVICES} | {overlay.SHIPPER}


def test_the_services_call_each_other_at_the_address_of_those_that_are_ready():
    for_calls = {key: value for key, value in literals(BASE)["environment"].items() if key.startswith("SERVICES__")}
    assert for_calls == {f"SERVICES__{each.short.upper()}": f"http://{each.short}-api:{each.port}" for each in SERVICES}
    headless, api = objects(BASE / "service/services.yaml")
    assert (headless["spec"]["clusterIP"], api["metadata"]["name"]) == ("None", "api")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_container_has_the_image_arguments_and_limit_of_compose(name):
    (container,) = TEMPLATES[name]["spec"]["template"]["spec"]["containers"]
    of_compose = CONTAINERS[LIKE.get(name, name)]
    assert container["resources"]["limits"] == {"memory": of_compose["deploy"]["resources"]["limits"]["memory"] + "i"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    if name != "service":
        assert container["image"] == of_compose["image"]
    if name != overlay.NODE_EXPORTER:
        assert container.get("args", []) == compose.arguments(LIKE.get(name, name), SETTINGS)
    assert name != "prometheus" or container["command"] == of_compose["entrypoint"]


def test_on_each_node_only_what_a_pod_knows_of_it_is_told():
    """The network is the pod's own, and so are file systems, but for the disk of its one volume."""
    nodes = ALONE[overlay.NODE_EXPORTER]
    pod = nodes["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    first, *told = container["args"]
    assert (nodes["kind"], first) == ("DaemonSet", "--collector.disable-defaults")
    assert not {each for each in told if re.match("--collector.(net|sock|soft|udp|arp|conntrack|ipvs|nfs)", each)}
    (volume,) = pod["volumes"]
    assert volume["emptyDir"] == {}
    # The alerts on disks leave out what is mounted read-only.
    assert container["volumeMounts"] == [
        {"name": volume["name"], "mountPath": each.partition("=")[2].strip("^$")}
        for each in told
        if "mount-points-include" in each
    ]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_pod_has_no_privilege(name):
    pod = TEMPLATES[name]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert (rights["allowPrivilegeEscalation"], rights["capabilities"]) == (False, {"drop": ["ALL"]})
        assert name in ("rabbitmq", "kibana", "elasticsearch") or rights["readOnlyRootFilesystem"] is True


def test_the_collector_beside_a_service_is_that_of_compose_with_another_destination():
    (container,) = SHIPPING["initContainers"]
    of_compose = CONTAINERS[overlay.SHIPPER]
    assert (container["name"], container["restartPolicy"]) == (overlay.SHIPPER, "Always")
    assert container["image"] == of_compose["image"]
    arguments = compose.arguments(overlay.SHIPPER, SETTINGS)
    assert container["args"] == [each.replace("to-loki", "to-elasticsearch") for each in arguments] != arguments
    assert container["resources"]["limits"] == {"memory": of_compose["deploy"]["resources"]["limits"]["memory"] + "i"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    rights = {"runAsUser": 10001, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}
    assert container["securityContext"] == rights | {"capabilities": {"drop": ["ALL"]}}
    assert {each["mountPath"] for each in container["volumeMounts"]} == {
        each.split(":")[1] for each in of_compose["volumes"]
    }


def test_the_collector_reads_on_for_as_long_as_a_service_may_write():
    (container,) = SHIPPING["initContainers"]
    reading = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert compose.seconds_to_stop("auth-service") <= reading < SHIPPING["terminationGracePeriodSeconds"]


def test_a_service_drains_as_behind_haproxy_and_has_as_long_to_stop_as_under_compose():
    pod = DEPLOYMENT["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == compose.seconds_to_stop("auth-service")
    assert literals(BASE)["environment"]["DRAIN_SECONDS"] == str(behind_haproxy("auth"))
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("name", [name for name in ALONE if "stop_grace_period" in CONTAINERS[name]])
def test_others_have_as_long_to_stop_as_under_compose(name):
    seconds = ALONE[name]["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
    assert seconds == compose.seconds_to_stop(name)


def test_every_port_that_compose_publishes_is_one_of_its_service():
    found = {each["metadata"]["name"]: each for folder in FOLDERS for file in folder.glob("*.yaml")
             for each in objects(file) if each["kind"] == "Service"}  # fmt: skip
    for port in compose.ports():
        if port.container in ALONE:
            assert int(port.number) in {each["port"] for each in found[port.container]["spec"]["ports"]}, port


def test_the_configuration_is_made_of_the_files_that_compose_mounts():
    files = {
        (folder / file).resolve()
        for folder in FOLDERS
        for each in yaml_files.load(folder / "kustomization.yaml").get("configMapGenerator", ())
        for file in each.get("files", ())
    }
    of_containers = ("rabbitmq", "jaeger", "prometheus", "alertmanager", "kibana", "elasticsearch", "otel-collector")
    of_grafana = ("provisioning", "dashboards", "runbooks")
    mounted = {
        ROOT / "dev-environment" / name for name in (*of_containers, *(f"grafana/{each}" for each in of_grafana))
    }
    left_out = re.compile(r"README\.md|no-secret|.*_test\.yml|to-loki\.yaml")
    of_compose = {file for folder in mounted for file in folder.rglob("*") if file.is_file()}
    assert files == {file for file in of_compose if not left_out.fullmatch(file.name)}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda each: each.name)
def test_a_config_map_is_far_smaller_than_a_cluster_takes(folder):
    """It takes one MiB, of which the names and their quotes are a part."""
    for each in yaml_files.load(folder / "kustomization.yaml").get("configMapGenerator", ()):
        size = sum((folder / file).stat().st_size for file in each.get("files", ()))
        assert size < 2**20 * 3 / 4, each["name"]


def rendered_overlay(name: str) -> list[Object]:
    if not shutil.which("kubectl"):
        missing("kubectl is not installed")
    return overlay.objects(overlay.manifests(name))


@pytest.mark.parametrize("name", overlay.NAMES)
def test_kustomize_renders_an_overlay(name):
    rendered = rendered_overlay(name)
    assert {each.name for each in SERVICES} <= {each["metadata"]["name"] for each in rendered}
    assert {each["metadata"].get("namespace", "all-erp") for each in rendered} == {"all-erp"}


@pytest.mark.parametrize("name", overlay.NAMES)
def test_as_many_of_each_service_are_stated_as_its_overlay_keeps(name):
    rendered = rendered_overlay(name)
    found = [each for each in rendered if each["kind"] in ("Deployment", "HorizontalPodAutoscaler")]
    kept = {each["metadata"]["name"]: each["spec"].get("replicas", each["spec"].get("minReplicas")) for each in found}
    stated = dict(each.split("=") for each in literals(WATCHERS)["prometheus-environment"]["INSTANCES"].split())
    if rules := [each["spec"]["groups"] for each in rendered if each["metadata"]["name"] == "stated"]:
        ((group,),) = rules
        stated = {each["labels"]["job"]: each["expr"][len("vector(") : -1] for each in group["rules"]}
        (nodes,) = (each["spec"]["nodeSets"][0]["count"] for each in rendered if each["kind"] == "Elasticsearch")
        assert nodes == overlay.PAIRS["elasticsearch"]
        assert {each: stated.pop(each) for each in overlay.PAIRS} == {
            each: str(number) for each, number in overlay.PAIRS.items()
        }
    assert stated == {each.name: str(kept[each.name]) for each in SERVICES}
    assert bool(rules) == any(each["kind"] == "Prometheus" for each in rendered)


def test_the_job_of_the_databases_is_found_by_the_label_that_the_verbs_wait_for():
    labels = {
        f"{key}={value}" for each in rendered_overlay("lab") for key, value in each["metadata"].get("labels", {}).items()
        if each["kind"] == "Job"
    }  # fmt: skip
    assert {*verbs.PREPARES.removeprefix("--selector=").split(",")} <= labels


def test_make_up_starts_as_many_of_each_service_as_the_base_has():
    assert str(DEPLOYMENT["spec"]["replicas"]) == overlay.SCALE


@pytest.mark.parametrize(("name", "prometheus", "alertmanagers"), [("lab", 1, 1), ("production", 2, 3)])
def test_production_has_its_watchers_in_pairs(name, prometheus, alertmanagers):
    found = {
        (each["kind"], each["metadata"]["name"]): each["spec"] for each in rendered_overlay(name) if "spec" in each
    }
    by_its_operator = found.get(("Prometheus", "prometheus"))
    of_alertmanager = found["StatefulSet", "alertmanager"]
    counts = [
        each.get("replicas", 1) for each in (by_its_operator or found["StatefulSet", "prometheus"], of_alertmanager)
    ]
    assert counts == [prometheus, alertmanagers]
    if not by_its_operator:
        (container,) = found["StatefulSet", "prometheus"]["template"]["spec"]["containers"]
        assert {"name": "REPLICA", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in container["env"]
    (of_alertmanager,) = of_alertmanager["template"]["spec"]["containers"]
    if alertmanagers == 1:
        assert "env" not in of_alertmanager
        assert ("Service", "alertmanager-cluster") not in found
        return
    (peer,) = of_alertmanager["env"]
    service, _, port = peer["value"].partition(":")
    cluster = found["Service", service]
    assert (peer["name"], cluster["clusterIP"], cluster["publishNotReadyAddresses"]) == ("CLUSTER_PEER", "None", True)
    own = {
        (each["name"], each.get("protocol", "TCP"))
        for each in of_alertmanager["ports"]
        if each["containerPort"] == int(port)
    }
    assert {(each["targetPort"], each.get("protocol", "TCP")) for each in cluster["ports"]} == own
    assert {protocol for _, protocol in own} == {"TCP", "UDP"}
    (door,) = found["NetworkPolicy", "among-alertmanagers"]["ingress"]
    assert {(each["port"], each.get("protocol", "TCP")) for each in door["ports"]} == own
    for each in ("prometheus", "alertmanager"):
        assert found["PodDisruptionBudget", each]["maxUnavailable"] == 1
        assert found["PodDisruptionBudget", each]["selector"] == {"matchLabels": {NAME: each}}
        assert found["Service", each]["clusterIP"] == "None", "Prometheus finds each by the addresses of its name"
