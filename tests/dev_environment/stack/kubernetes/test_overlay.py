"""What `make up MODE=kubernetes` writes for itself: the parts that run, links that follow moved ports, its images."""

import shutil

import pytest
import yaml
from stack import mode
from stack.docker import engine
from stack.docker.parts import GROUPS
from stack.errors import SettingError
from stack.kubernetes import images, overlay, parts, verbs
from stack.settings import DEFAULTS, Settings

from tests.fixtures.strict import missing

SERVICES = {"auth-service", "tenant-service", "system-service", "budget-service", "personnel-service", "probe"}
ALWAYS = SERVICES | {"prepare", "postgres", "rabbitmq"}
IMAGES = {name: f"{name}:1" for name in ("all-erp/prepare", "all-erp/auth")}


def test_alerts_link_to_the_ports_that_lead_into_the_cluster(tmp_path):
    moved = {"PROMETHEUS_PORT": "19090", "ALERTMANAGER_PORT": "19093"}
    settings = Settings(DEFAULTS | moved | {"STATE_DIR": str(tmp_path)}, {})
    overlay.folder(settings).mkdir()
    overlay.write(settings, IMAGES, parts.chosen(""))
    written = yaml.safe_load((overlay.folder(settings) / "kustomization.yaml").read_text())
    arguments = {each["target"]["name"]: each["patch"] for each in written["patches"] if "name" in each["target"]}
    assert "--web.external-url=http://localhost:19090" in arguments["prometheus"]
    assert "--web.external-url=http://localhost:19093" in arguments["alertmanager"]


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ("", {"budget-service": 2, "auth-service": 2}),
        ("budget=3", {"budget-service": 3, "auth-service": 1}),
        ("1", {"auth-service": 1}),
    ],
)
def test_as_many_replicas_are_made_and_stated_as_was_said(tmp_path, given, numbers):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {})
    mode.remember(settings, "kubernetes", scale=given)
    overlay.folder(settings).mkdir()
    overlay.write(settings, IMAGES, parts.chosen(""))
    written = yaml.safe_load((overlay.folder(settings) / "kustomization.yaml").read_text())
    replicas = {each["name"]: each["count"] for each in written["replicas"]}
    assert numbers.items() <= replicas.items()
    assert replicas.keys() == SERVICES
    assert numbers.items() <= stated(settings).items()


def stated(settings: Settings) -> dict[str, int]:
    """How many there ought to be of each job, as Prometheus is told."""
    words = (overlay.folder(settings) / "values/prometheus-environment/INSTANCES").read_text().split()
    return {job: int(number) for job, _, number in (each.partition("=") for each in words)}


def test_numbers_that_somebody_states_take_the_place_of_ours(tmp_path):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path), "INSTANCES": "budget-service=4"}, {})
    overlay.folder(settings).mkdir()
    overlay.write(settings, IMAGES, parts.chosen(""))
    assert stated(settings) == {"budget-service": 4}


def test_what_is_left_out_is_stated_to_be_none(tmp_path):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path), "PROBE": "0"}, {})
    overlay.folder(settings).mkdir()
    overlay.write(settings, IMAGES, parts.chosen("metrics ha"))
    several = stated(settings)
    assert {job for job, number in several.items() if not number} == {
        *("probe", "jaeger", "jaeger-spanmetrics", "elasticsearch", "otel-collector", "loki"),
    }
    assert (several["prometheus"], several["alertmanager"], several["grafana"]) == (2, 3, 1)
    overlay.write(settings, IMAGES, parts.chosen("all ha"))
    assert stated(settings)["elasticsearch"] == 3
    overlay.write(settings, IMAGES, parts.chosen(""))
    alone = stated(settings)
    assert {alone[each] for each in ("prometheus", "alertmanager", "elasticsearch", "otel-collector", "jaeger")} == {1}
    assert overlay.NODE_EXPORTER not in alone, "there are as many as there are nodes"


def test_the_images_of_every_start_are_known_until_they_are_removed(tmp_path, monkeypatch):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path), "CONTEXT": "elsewhere", "REGISTRY": "r.example/a/"}, {})
    monkeypatch.setattr(
        engine,
        "model",
        lambda: {"auth-service": {"image": "all-erp/auth:dev", "build": {}}, "postgres": {"image": "p:1"}},
    )
    monkeypatch.setattr(engine, "compose", lambda *_, **__: "")
    monkeypatch.setattr(engine, "tag", lambda *_: None)
    verbs._make_folder(settings)
    assert images.built(settings) == []
    for content in ("one", "two", "two"):
        monkeypatch.setattr(engine, "image_id", lambda _, content=content: content)
        assert images.build(settings) == {"all-erp/auth": f"r.example/a/all-erp/auth:{content}"}
    assert images.built(settings) == ["r.example/a/all-erp/auth:one", "r.example/a/all-erp/auth:two"]


def rendered(settings: Settings, given: str) -> dict[tuple[str, str], dict]:
    """The objects that PARTS=given makes, by kind and name; the name of a Job is without its hash."""
    if not shutil.which("kubectl"):
        missing("kubectl is not installed")
    overlay.folder(settings).mkdir(exist_ok=True)
    overlay.write(settings, IMAGES, parts.chosen(given))
    found = overlay.objects(overlay.render(settings))
    names = [each["metadata"]["name"] for each in found]
    names = [
        name.rpartition("-")[0] if each["kind"] == "Job" else name for name, each in zip(names, found, strict=True)
    ]
    return {(each["kind"], name): each for name, each in zip(names, found, strict=True)}


@pytest.mark.parametrize(
    ("given", "watchers"),
    [
        ("", set(overlay.WATCHERS)),
        ("all", set(overlay.WATCHERS)),
        ("traces", {"jaeger"}),
        ("traces, mailpit", {"jaeger", "mailpit"}),
        ("metrics traces", {*GROUPS["metrics"], "jaeger"}),
    ],
)
def test_parts_says_which_watchers_run_and_the_services_always_do(tmp_path, given, watchers):
    found = rendered(Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {}), given)
    running = {name for (kind, name), each in found.items() if "template" in each.get("spec", {})}
    assert running == ALWAYS | watchers
    reached = {name for kind, name in found if kind == "Service"} - {
        f"{each.partition('-')[0]}-api" for each in SERVICES
    }
    beside = {"otel-collector", "elasticsearch-set-up"} if "elasticsearch" in watchers else set()
    assert reached == running - {"prepare", "kibana-setup", "elasticsearch-setup"} | beside


@pytest.mark.parametrize("given", ["elasticsearch", "traces elasticsearch-exporter", "elasticsearch-setup", "kibana"])
def test_elasticsearch_is_whole_and_every_pod_that_writes_lines_ships_them(tmp_path, given):
    found = rendered(Settings(DEFAULTS | {"STATE_DIR": str(tmp_path), "LOG_SERVICES": "mine"}, {}), given)
    running = {name for (kind, name), each in found.items() if "template" in each.get("spec", {})}
    assert running >= {"elasticsearch", "elasticsearch-setup", "elasticsearch-exporter"}
    for name in SERVICES:
        pod = found["Deployment", name]["spec"]["template"]
        (shipper,) = pod["spec"]["initContainers"]
        assert shipper["image"] in overlay.images(yaml.safe_dump(found["Deployment", name]))
        (source,) = shipper["envFrom"]
        assert found["ConfigMap", source["configMapRef"]["name"]]["data"]["LOG_SERVICES"] == "mine"
        assert found["Service", "otel-collector"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert {each["name"] for each in shipper["volumeMounts"]} <= {each["name"] for each in pod["spec"]["volumes"]}
        (container,) = pod["spec"]["containers"]
        assert pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == container["name"]


def test_without_elasticsearch_no_pod_ships_lines(tmp_path):
    found = rendered(Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {}), "metrics traces")
    assert ["initContainers" in found["Deployment", name]["spec"]["template"]["spec"] for name in SERVICES] == [
        False
    ] * len(SERVICES)


def test_ha_adds_replicas_of_the_watchers_that_run(tmp_path):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {})
    several = rendered(settings, "metrics ha")
    assert several["StatefulSet", "prometheus"]["spec"]["replicas"] == 2
    assert several["StatefulSet", "alertmanager"]["spec"]["replicas"] == 3
    assert ("StatefulSet", "jaeger") not in several
    left = rendered(settings, "traces ha")
    assert {
        name for kind, name in left if "alertmanager" in name and kind in ("Service", "PodDisruptionBudget")
    } == set()
    assert "replicas" not in rendered(settings, "metrics")["StatefulSet", "prometheus"]["spec"]


@pytest.mark.parametrize("given", ["loki", "metrics budget", "prometheus-2"])
def test_what_cannot_be_left_out_of_a_cluster_is_refused(given):
    with pytest.raises(SettingError, match=rf"PARTS names {given.split()[-1]}: in Kubernetes mode use metrics, logs, "):
        parts.chosen(given)


def test_a_job_has_another_name_when_what_it_does_changes_and_else_the_same(tmp_path):
    def name(**values: str) -> str:
        settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)} | values, {})
        return rendered(settings, "traces")["Job", "prepare"]["metadata"]["name"]

    assert name() == name()
    assert name() != name(POSTGRES_PASSWORD="another")


def test_a_value_that_looks_like_a_number_stays_a_string(tmp_path):
    settings = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path), "LOG_LEVEL": "1e3"}, {})
    rendered(settings, "traces")
    assert '"LOG_LEVEL": "1e3"' in overlay.render(settings)
