"""The table of the services is what compose, Prometheus and `.env.example` say."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack.services import PROBE

from libs.contracts.subscriptions import SUBSCRIPTIONS
from libs.observability.traces.queue import FLUSH_SECONDS
from libs.service_kit.client import KEEPALIVE_SECONDS
from libs.service_kit.server import GRACEFUL_SECONDS
from libs.service_kit.settings import ServiceUrls
from libs.services import PORTS, SERVICES
from tests.fixtures.yaml_files import load

ROOT = Path(__file__).parents[2]
HAPROXY = ROOT / "dev-environment/haproxy/haproxy.cfg"


def compose(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())["services"]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_compose_runs_each_service_on_its_port(service):
    container = compose("docker-compose.dev.yml")[service.full_name]
    assert container["environment"]["PORT"] == str(service.port)
    assert container["ports"] == [f"127.0.0.1:${{{service.name.upper()}_PORT:-{service.port}}}:{service.port}"]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_compose_lets_a_service_drain_end_its_requests_and_flush_before_it_kills_it(service):
    needed = behind_haproxy(service.name) + GRACEFUL_SECONDS + 2 * FLUSH_SECONDS
    assert grace(compose("docker-compose.dev.yml")[service.full_name]) >= needed


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_drain_outlasts_what_those_who_choose_a_replica_need_to_leave_it(service):
    """An idle connection of another service is used again within its time or never; HAProxy fails two checks."""
    assert behind_haproxy(service.name) > 2 * KEEPALIVE_SECONDS
    (inter, fast, fall) = re.search(r"inter (\d+)s fastinter (\d+)s fall (\d+)", HAPROXY.read_text()).groups()
    assert behind_haproxy(service.name) > 2 * (int(inter) + int(fast) * (int(fall) - 1))


def test_compose_lets_whatever_keeps_data_write_it():
    keeping = compose("docker-compose.dev.yml") | compose("docker-compose.devops.yml")
    for name in ("postgres", "rabbitmq", "elasticsearch", "prometheus", "jaeger", "logstash"):
        assert grace(keeping[name]) >= 30, name


def behind_haproxy(service: str) -> int:
    """For how many seconds a service drains where HAProxy is in front of its replicas, by default."""
    text = HAPROXY.with_name("compose.yml").read_text()
    own = yaml.load(text.replace("!reset", ""), yaml.CSafeLoader)["services"][f"{service}-service"]
    return int(own["environment"]["DRAIN_SECONDS"].removeprefix("${DRAIN_SECONDS:-").removesuffix("}"))


def grace(container: dict[str, Any]) -> int:
    """How many seconds compose waits between SIGTERM and SIGKILL; 10 unless it is told."""
    return int(container.get("stop_grace_period", "10s").removesuffix("s"))


def test_the_broker_has_a_user_for_each_service():
    [listed] = re.findall(r'(?m)^services="(.+)"$', (ROOT / "dev-environment/rabbitmq/start.sh").read_text())
    assert listed.split() == list(PORTS)


def test_compose_runs_no_service_that_the_table_lacks():
    for file in ("docker-compose.dev.yml", "docker-compose.devops.yml"):
        named = {name.removesuffix("-service") for name in compose(file) if name.endswith("-service")}
        assert named <= set(PORTS)


def test_prometheus_scrapes_each_service_at_its_port():
    jobs = load(ROOT / "dev-environment/prometheus/prometheus.yml")["scrape_configs"]
    found = {job["job_name"]: (each["names"], each["port"]) for job in jobs for each in job.get("dns_sd_configs", ())}
    found = {name: each for name, each in found.items() if name.endswith("-service")}
    assert found == {each.full_name: ([each.full_name], each.port) for each in SERVICES}


def test_prometheus_misses_each_service_that_is_no_target():
    rules = load(ROOT / "dev-environment/prometheus/rules/recording.yml")["groups"]
    expected = [
        rule["labels"]["job"] for group in rules for rule in group["rules"] if rule["record"] == "job:up:expected"
    ]
    assert sorted(expected) == sorted(each.full_name for each in SERVICES)


def test_the_probe_knows_where_each_service_is_and_is_scraped_at_its_port():
    given = compose("docker-compose.dev.yml")["probe"]["environment"]
    urls = {f"SERVICES__{service.name.upper()}": f"http://{service.full_name}:{service.port}" for service in SERVICES}
    assert {name: url for name, url in given.items() if name.startswith("SERVICES__")} == urls
    jobs = yaml.safe_load((ROOT / "dev-environment/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (targets,) = (job["static_configs"][0]["targets"] for job in jobs if job["job_name"] == PROBE.name)
    assert (given["METRICS_PORT"], targets) == (str(PROBE.port), [f"probe:{PROBE.port}"])


def test_the_example_environment_names_the_same_ports():
    named = dict(re.findall(r"(?m)^([A-Z]+)_PORT=(\d+)", (ROOT / ".env.example").read_text()))
    assert {name: named.get(name.upper()) for name in PORTS} == {name: str(port) for name, port in PORTS.items()}


def test_each_service_has_a_url_and_a_folder():
    assert set(ServiceUrls.model_fields) == set(PORTS) == set(SUBSCRIPTIONS)
    assert all((ROOT / "services" / name / "main.py").is_file() for name in PORTS)
