"""Prometheus scrapes the right targets, its rules use metrics that exist, and each alert is tested and has a runbook."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.configs.exporters import EXPORTERS, PROMETHEUS_ITSELF, targets
from tests.configs.promql import exported_by_services, selectors, used
from tests.fixtures.yaml_files import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dev-environment/prometheus"
RUNBOOKS = "dev-environment/runbooks"
DASHBOARDS = {"overview", "service", "business", "slo", "postgresql", "rabbitmq", "host", "telemetry"}

# The names are a contract: the operators' scripts and habits depend on them.
REQUIRED_JOBS = {
    "auth-service": "auth-service:3001",
    "tenant-service": "tenant-service:3002",
    "system-service": "system-service:3003",
    "personnel-service": "personnel-service:3020",
    "budget-service": "budget-service:3010",
    "postgres": "postgres-exporter:9187",
    "rabbitmq": "rabbitmq:15692",
}
# What runs with a profile only: by its name it is no target where it does not run.
PROFILES = {"loki", "otel-collector"}
NO_SELECTOR = {
    "Watchdog": "it has no selector, so that it always fires",
    "slo:objective:ratio": "a number that we choose",
    "job:up:expected": "what ought to be there, whether it is or not",
}


# What start.sh writes.
STATED = "job:up:stated"

CONFIG = load(FOLDER / "prometheus.yml")
JOBS = {job["job_name"] for job in CONFIG["scrape_configs"]}
GROUPS = {
    group["name"]: group["rules"] for file in sorted((FOLDER / "rules").glob("*.yml")) for group in load(file)["groups"]
}
RULES = [rule for rules in GROUPS.values() for rule in rules]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
TESTS = [case for file in sorted((FOLDER / "tests").glob("*.yml")) for case in load(file)["tests"]]


def name_of(rule: dict[str, Any]) -> str:
    return rule.get("alert") or rule["record"]


def checks_of(alert: str) -> Iterator[dict[str, Any]]:
    return (check for case in TESTS for check in case.get("alert_rule_test", []) if check["alertname"] == alert)


def test_every_target_is_scraped_every_fifteen_seconds():
    every = CONFIG["global"]
    assert (every["scrape_interval"], every["evaluation_interval"]) == ("15s", "15s")
    assert [job["job_name"] for job in CONFIG["scrape_configs"] if "scrape_interval" in job] == []


def test_the_required_jobs_have_their_names_targets_and_path():
    jobs = {job["job_name"]: job for job in CONFIG["scrape_configs"]}
    assert {name: targets(jobs[name]) for name in REQUIRED_JOBS} == {
        name: [target] for name, target in REQUIRED_JOBS.items()
    }
    assert {jobs[name].get("metrics_path", "/metrics") for name in REQUIRED_JOBS} == {"/metrics"}


def test_every_instance_of_what_can_be_several_is_found_soon():
    found = {job["job_name"]: each for job in CONFIG["scrape_configs"] for each in job.get("dns_sd_configs", ())}
    several = {job for job in JOBS if job.endswith("-service")} | {"alertmanager", "prometheus"}
    assert found.keys() == several | {"node-exporter"} | PROFILES
    (alertmanagers,) = CONFIG["alerting"]["alertmanagers"]
    assert alertmanagers["dns_sd_configs"] == [found["alertmanager"]]
    assert {each["type"] for each in found.values()} == {"A"}
    assert {found[job]["refresh_interval"] for job in several} == {"5s"}


def test_no_domain_of_the_machines_network_answers_for_a_part_that_does_not_run():
    compose = load(ROOT / "docker-compose.devops.yml")["services"]
    assert [compose[name]["dns_search"] for name in ("prometheus", "prometheus-2")] == [".", "."]


def test_no_page_of_a_target_is_scraped_twice():
    pages = [
        (target, job.get("metrics_path", "/metrics")) for job in CONFIG["scrape_configs"] for target in targets(job)
    ]
    assert len(pages) == len(set(pages))


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_uses_only_metrics_that_exist(rule):
    names = {selector.name for selector in selectors(rule["expr"])}
    assert names or name_of(rule) in NO_SELECTOR
    others = set(PROMETHEUS_ITSELF).union(*EXPORTERS.values())
    assert names - exported_by_services() - RECORDS - others - {STATED} == set()


def test_what_is_stated_is_what_the_rules_read():
    assert f"record: '{STATED}'" in (FOLDER / "start.sh").read_text()
    assert "/prometheus/rules/*.yml" in CONFIG["rule_files"]


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_selector_by_job_means_a_job_that_exists(rule):
    jobs = [job["job_name"] for job in CONFIG["scrape_configs"]]
    for selector in selectors(rule["expr"]):
        # What is stated names more than has metrics: stack.docker.parts.stated.
        if selector.name == STATED and "logstash" in {each.value for each in selector.matchers.matchers}:
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name == "job":
                assert any(re.fullmatch(matcher.value, job) for job in jobs), str(selector)


def test_a_record_has_one_meaning():
    meanings = [(rule["record"], tuple(rule.get("labels", {}).items())) for rule in RULES if "record" in rule]
    assert len(meanings) == len(set(meanings))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_what_where_and_what_to_do(alert):
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ({"none"} if alert == "Watchdog" else {"critical", "warning"})
    assert "service" in rule["labels"] or "sum by (service)" in rule["expr"]
    # The link to one of these takes the job from the alert (message.tmpl).
    if rule["annotations"]["dashboard"] in {"service", "slo", "overview", "telemetry"}:
        assert rule["labels"]["service"] in {"{{ $labels.job }}", "{{ $labels.service }}", *JOBS}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "dashboard", "runbook_url"}
    assert notes["dashboard"] in DASHBOARDS
    assert notes["runbook_url"] == "{{ $externalLabels.grafana_url }}/d/runbook-" + kebab(alert)
    assert (ROOT / RUNBOOKS / f"{kebab(alert)}.md").read_text().startswith(f"# {alert}\n")


def test_the_address_of_the_runbooks_comes_from_the_environment_and_is_no_label_of_an_alert():
    labels = {"grafana_url": "${GRAFANA_URL}", "replica": "${REPLICA}"}
    assert CONFIG["global"]["external_labels"] == labels
    dropped = {"action": "labeldrop", "regex": "|".join(labels)}
    assert CONFIG["alerting"]["alert_relabel_configs"] == [dropped], (
        "else each of a pair would send an alert of its own"
    )
    compose = load(ROOT / "docker-compose.devops.yml")["services"]
    assert compose["prometheus"]["environment"]["GRAFANA_URL"] == compose["alertmanager"]["environment"]["GRAFANA_URL"]
    assert (
        compose["grafana"]["environment"]["GF_SERVER_ROOT_URL"] == compose["alertmanager"]["environment"]["GRAFANA_URL"]
    )


def test_the_memory_limit_of_a_service_is_the_one_that_its_alerts_know():
    services = load(ROOT / "docker-compose.dev.yml")["services"]
    limits = {
        services[job]["deploy"]["resources"]["limits"]["memory"] for job in REQUIRED_JOBS if job.endswith("-service")
    }
    assert limits == {"256M"}
    for alert in ("ServiceMemoryHigh", "ServiceMemoryGrowing"):
        assert "256 * 1024 * 1024" in ALERTS[alert]["expr"]


def test_every_runbook_belongs_to_an_alert_and_its_links_lead_somewhere():
    books = list((ROOT / RUNBOOKS).glob("*.md"))
    assert {book.stem for book in books} == {kebab(alert) for alert in ALERTS}
    for book in books:
        for link in re.findall(r"\]\(([^)#]+)\)", book.read_text()):
            assert (book.parent / link).exists(), (book.name, link)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_test_that_fires_it_and_one_that_does_not(alert):
    outcomes = {bool(check["exp_alerts"]) for check in checks_of(alert)}
    assert outcomes == ({True} if alert == "Watchdog" else {True, False})


@pytest.mark.parametrize("file", sorted((FOLDER / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_what_a_rule_reads_is_evaluated_before_it(file):
    """promtool evaluates groups in an order of chance, and forgets after five minutes: a record of the step before counts
    only where the steps are that short."""
    order = load(file)["group_eval_order"]
    names = {name: group for group, rules in GROUPS.items() for name in map(name_of, rules)}
    assert sorted(order) == sorted(GROUPS)
    for group, rules in GROUPS.items():
        for name in set().union(*(used(rule["expr"]) for rule in rules)) & names.keys():
            assert order.index(names[name]) <= order.index(group), (group, name)


def test_the_alert_on_cpu_is_the_one_that_was_specified():
    rule = ALERTS["HighCpuUsage"]
    assert (rule["annotations"]["summary"], rule["for"]) == ("CPU usage is above 80%", "5m")


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
