"""The compose files describe pinned containers with bounded memory and few privileges, reachable from this machine only."""

import importlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from stack import services as stack_services
from stack import settings as stack_settings
from stack.environment import decided

from libs.observability import TelemetrySettings
from libs.observability.traces.exporters import DEFAULTS as DEFAULTS_OF_OTEL
from libs.observability.variables import AT_IMPORT, AT_START
from tests.fixtures.database import SERVICES
from tests.fixtures.environment import variables

ROOT = Path(__file__).parents[2]
FILES = [(ROOT / name).read_text() for name in ("docker-compose.dev.yml", "docker-compose.devops.yml")]
BOTH_FILES = "\n".join(FILES)
MODELS = [yaml.safe_load(text) for text in FILES]
CONTAINERS = MODELS[0]["services"] | MODELS[1]["services"]
DEFAULT_SETTINGS = stack_settings.read({}, ROOT / "no such file")
# There is nothing in its image that could ask it. Prometheus does.
WITHOUT_HEALTH = {"otel-collector"}
ONE_SHOTS = {name for name, each in CONTAINERS.items() if each["restart"] == "no"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_bounded_restarted_and_without_new_privileges(name):
    container = CONTAINERS[name]
    assert re.fullmatch(r"\d+M", container["deploy"]["resources"]["limits"]["memory"])
    assert container["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert name in ONE_SHOTS or container["restart"] == "unless-stopped"
    assert name in ONE_SHOTS | WITHOUT_HEALTH or container["healthcheck"]["test"]


@pytest.mark.parametrize("name", [name for name, each in CONTAINERS.items() if "build" in each])
def test_our_own_containers_have_a_read_only_file_system_and_no_privilege(name):
    assert CONTAINERS[name]["read_only"] is True
    assert CONTAINERS[name]["cap_drop"] == ["ALL"]
    assert re.search(r"(?m)^USER \d+:\d+$", (ROOT / "services/Dockerfile").read_text())


# What these images declare as volumes: `docker image inspect -f '{{.Config.Volumes}}'`. tests/docker asks all of them.
DECLARED = {"postgres": "/var/lib/postgresql", "rabbitmq": "/var/lib/rabbitmq", "jaegertracing/jaeger": "/tmp"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_container_leaves_a_volume_without_a_name(name):
    container = CONTAINERS[name]
    declared = DECLARED.get(container["image"].partition(":")[0])
    there = [*(each.split(":")[1] for each in container.get("volumes", ())), *container.get("tmpfs", ())]
    assert declared in (None, *there)


@pytest.mark.parametrize("name", [name for name, each in CONTAINERS.items() if "build" in each])
def test_an_image_of_ours_has_a_tag_so_that_nothing_takes_it_for_the_latest(name):
    assert CONTAINERS[name]["image"].endswith(":dev")


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_a_container_reads_of_the_checkout_has_a_label_that_selinux_lets_it_read(name):
    mounts = [each for each in CONTAINERS[name].get("volumes", ()) if each.startswith("./")]
    assert [each for each in mounts if not each.endswith(":ro,z")] == []


def test_the_broker_does_not_size_its_tables_by_what_an_engine_allows():
    assert CONTAINERS["rabbitmq"]["ulimits"] == {"nofile": 16384}


def test_ports_are_published_on_this_machine_only():
    published = [port for each in CONTAINERS.values() for port in each.get("ports", [])]
    assert len(published) > len(SERVICES)
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_image_that_is_pulled_is_pinned_once():
    pulled = re.findall(r"(?m)^\s*image: (?:&\w+ )?((?!all-erp/)[^*\s]+)$", BOTH_FILES)
    assert len(pulled) == len({image.partition(":")[0] for image in pulled}) >= 3
    assert [image for image in pulled if not re.search(r":v?\d+\.\d+", image)] == []
    started = re.findall(r"(?m)^FROM (\S+) AS", (ROOT / "services/Dockerfile").read_text())
    assert set(started) == {"python:3.13-slim", "base"}


def test_the_two_files_share_their_project_and_their_network():
    assert {model["name"] for model in MODELS} == {"all-erp"}
    assert {model["networks"]["default"]["name"] for model in MODELS} == {"all-erp"}


def test_another_container_waits_for_every_one_shot_but_the_one_that_make_up_runs():
    waited = {
        name
        for each in CONTAINERS.values()
        for name, how in each.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert waited == ONE_SHOTS - {"kibana-setup"}


def test_every_variable_has_the_default_that_env_example_shows():
    used = dict(re.findall(r"\$\{(\w+):-((?:\$\{[^}]*\}|[^}])*)\}", BOTH_FILES))
    of_services = {"NODE_ENV", "LOG_LEVEL", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert {name: used[name] for name in used.keys() - of_services} == {
        name: stack_settings.DEFAULTS[name] for name in used.keys() - of_services
    }
    assert re.findall(r"\$\{\w+\}", BOTH_FILES) == []


# What a service reads and the stack decides; `environment.decided` is what local mode decides.
DECIDED = {"METRICS_HOST", "METRICS_PORT", "JAEGER_AGENT_PORT", *decided(stack_services.AUTH, DEFAULT_SETTINGS)} | {
    f"EVENTS__BROKER_{each}" for each in ("URL", "USER", "PASSWORD")
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_a_service_reaches_it_from_the_env_file_unless_the_stack_decides_it(service):
    """Compose fills a name without a value, and `${NAME:-default}`, from `.env` or the shell."""
    settings = importlib.import_module(f"services.{service}.settings").Settings
    read = {name for each in (settings, TelemetrySettings) for name, _ in variables(each)}
    read |= {*AT_IMPORT, *AT_START, *DEFAULTS_OF_OTEL} - {
        "PROMETHEUS_MULTIPROC_DIR",  # for servers of several processes
        "OTEL_METRICS_EXPORTER",  # services have neither
        "OTEL_LOGS_EXPORTER",
    }
    given = CONTAINERS[f"{service}-service"]["environment"]
    passed = {name for name, value in given.items() if value is None or str(value).startswith(f"${{{name}:-")}
    assert passed & DECIDED == set()
    assert {name for name in read if not name.startswith("BOOTSTRAP__")} - passed <= DECIDED
    bootstrap = {name for name in read if name.startswith("BOOTSTRAP__")}
    assert bootstrap <= CONTAINERS["prepare"]["environment"].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_its_own_name_port_folder_and_database(service):
    container = CONTAINERS[f"{service}-service"]
    port = stack_settings.DEFAULTS[f"{service.upper()}_PORT"]
    environment = container["environment"]
    assert container["build"]["args"] == {"SERVICE": service}
    assert (environment["SERVICE_NAME"], environment["PORT"]) == (f"{service}-service", port)
    assert environment["LOG_DIR"] == f"/var/log/app/{service}-service"
    assert environment["DATABASE__URL"] == f"postgresql://{service}_app@postgres:5432/{service}"
    assert container["ports"] == [f"127.0.0.1:${{{service.upper()}_PORT:-{port}}}:{port}"]


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_its_own_user_at_the_broker_and_no_password_of_another(service):
    environment = CONTAINERS[f"{service}-service"]["environment"]
    assert environment["EVENTS__BROKER_USER"] == f"{service}-service"
    variable = f"{service.upper()}_BROKER_PASSWORD"
    of_broker = CONTAINERS["rabbitmq"]["environment"]
    assert environment["EVENTS__BROKER_PASSWORD"] == of_broker[variable]
    assert of_broker[variable].startswith(f"${{{variable}:-")
    others = "_BROKER_PASSWORD|RABBITMQ_PASSWORD|ADMINISTRATOR"
    assert [name for name, value in environment.items() if re.search(others, f"{name} {value}")] == [
        "EVENTS__BROKER_PASSWORD"
    ]


def test_no_user_and_no_password_is_pasted_into_a_url():
    """Compose cannot quote: `/`, `#`, `?`, `@`, `%` and others would end the password or the URL."""
    pasted = re.findall(r"://\S*\$\{\w*(?:USER|PASSWORD)\w*", BOTH_FILES)
    assert pasted == []
    assert "DATABASE__PASSWORD: ${POSTGRES_PASSWORD" in BOTH_FILES


# The first of each, and those that are its like.
SEVERAL = {
    "prometheus": ["prometheus-2"],
    "alertmanager": ["alertmanager-2", "alertmanager-3"],
    "elasticsearch": ["elasticsearch-2", "elasticsearch-3"],
}


def test_what_needs_a_profile_is_another_one_of_a_watcher_or_of_loki():
    behind = {name: each["profiles"] for name, each in CONTAINERS.items() if "profiles" in each}
    several = {each: ["ha"] for names in SEVERAL.values() for each in names}
    assert behind == several | {key: ["loki"] for key in ("loki", "loki-volumes", "otel-collector")}


@pytest.mark.parametrize("first", SEVERAL)
def test_those_of_a_kind_differ_in_their_names_and_data_only(first):
    for name in SEVERAL[first]:
        one, another = CONTAINERS[first], CONTAINERS[name]
        own = {"profiles", "networks", "ports", "volumes", "environment", "depends_on"}
        assert {key: one.get(key) for key in one.keys() - own} == {
            key: another.get(key) for key in another.keys() - own
        }
        assert another["networks"] == {"default": {"aliases": [first]}}, "the first one's name leads to all of them"
        assert [each.replace(f"{name}:", f"{first}:", 1) for each in another["volumes"]] == one["volumes"]
        different = {key for key, value in another["environment"].items() if one["environment"][key] != value}
        assert {another["environment"][key] for key in different} <= {name}
        assert one["environment"].keys() == another["environment"].keys()


def test_the_first_node_starts_after_those_that_it_looks_for():
    assert CONTAINERS["elasticsearch"]["depends_on"] == {
        name: {"condition": "service_started", "required": False} for name in SEVERAL["elasticsearch"]
    }
    assert not any(CONTAINERS[name]["depends_on"] for name in SEVERAL["elasticsearch"])


def test_who_asks_a_watcher_asks_the_name_that_leads_to_each_of_them():
    folder = ROOT / "dev-environment"
    sources = yaml.safe_load((folder / "grafana/provisioning/datasources/all.yml").read_text())["datasources"]
    jaeger = yaml.safe_load((folder / "jaeger/config.yaml").read_text())["extensions"]["jaeger_storage"]
    (exported,) = re.findall(r"--es.uri=(\S+)", " ".join(CONTAINERS["elasticsearch-exporter"]["command"]))
    asked = [
        *(each["url"] for each in sources if each["uid"] != "elasticsearch"),
        CONTAINERS["grafana"]["environment"]["ES_HOSTS"],
        jaeger["metric_backends"]["prometheus"]["prometheus"]["endpoint"],
        *(re.findall(r"ES_HOSTS:(http[^}]+)", (folder / "logstash/logstash.conf").read_text())),
        *(re.findall(r"ES_HOSTS:(http[^}]+)", (folder / "logstash/dead-letters.conf").read_text())),
        CONTAINERS["kibana"]["environment"]["ELASTICSEARCH_HOSTS"],
        exported,
    ]
    others = {name for names in SEVERAL.values() for name in names}
    hosts = [urlsplit(url).hostname for url in asked]
    assert not others & {*hosts}
    assert {name: hosts.count(name) for name in SEVERAL} == {"prometheus": 2, "alertmanager": 1, "elasticsearch": 5}
