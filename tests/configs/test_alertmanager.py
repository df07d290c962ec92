"""Alertmanager's configuration names alerts that exist, and every variable that it takes is documented."""

import re
from pathlib import Path

import pytest
import yaml
from promql_parser import parse_duration

from tests.configs.test_prometheus import ALERTS

FOLDER = Path(__file__).parents[2] / "dev-environment/alertmanager"
CONFIG = (FOLDER / "alertmanager.yml").read_text()
# A placeholder such as @NAME@ is not YAML; any value in its place is.
PARSED = yaml.safe_load(re.sub(r"@\w+@", "false", CONFIG))
START = (FOLDER / "start.sh").read_text()


def test_inhibitions_and_routes_name_alerts_that_exist():
    matchers = [
        matcher for rule in PARSED["inhibit_rules"] for key in rule if "matchers" in key for matcher in rule[key]
    ]
    matchers += [matcher for route in PARSED["route"]["routes"] for matcher in route.get("matchers", [])]
    patterns = [
        re.fullmatch(r'alertname(?:=~|!=|=)"(.+)"', matcher)
        for matcher in matchers
        if matcher not in ('severity="critical"', 'service="system-service"')
    ]
    for pattern in patterns:
        assert pattern
        for name in pattern[1].split("|"):
            assert any(re.fullmatch(name, alert) for alert in ALERTS), name


def fit(matchers: list[str], labels: dict[str, str]) -> bool:
    parts = [re.fullmatch(r'(\w+)(=~|!=|=)"(.+)"', each).groups() for each in matchers]
    return all(
        bool(re.fullmatch(value, labels[name]) if sign == "=~" else labels[name] == value) == (sign != "!=")
        for name, sign, value in parts
    )


def inhibits(source: dict[str, str], target: dict[str, str]) -> bool:
    return any(
        fit(rule["source_matchers"], source)
        and fit(rule["target_matchers"], target)
        and all(source.get(label) == target.get(label) for label in rule.get("equal", []))
        for rule in PARSED["inhibit_rules"]
    )


@pytest.mark.parametrize("alert", ["DatabasePoolExhausted", "RequestsShed", "HighLatency", "OutboxAgeing"])
def test_what_every_service_suffers_without_the_database_is_not_sent_too(alert):
    assert alert in ALERTS
    assert inhibits(
        {"alertname": "PostgresDown", "service": "postgres"}, {"alertname": alert, "service": "auth-service"}
    )


@pytest.mark.parametrize(
    ("worse", "of", "service", "is_silenced"),
    [
        ("ServiceDown", "auth-service", "auth-service", True),
        ("PostgresDown", "postgres", "auth-service", True),
        ("ErrorBudgetBurnsFast", "auth-service", "auth-service", True),
        ("ErrorBudgetBurnsFast", "auth-service", "budget-service", False),
        ("RabbitmqDown", "rabbitmq", "system-service", True),
        ("RabbitmqDown", "rabbitmq", "auth-service", False),
        ("ErrorBudgetBurnsSlowly", "auth-service", "auth-service", False),
    ],
)
def test_what_a_worse_alert_explains_of_the_probe_is_not_sent_too(worse, of, service, is_silenced):
    source, target = {"alertname": worse, "service": of}, {"alertname": "ProbeFails", "service": service}
    assert is_silenced == inhibits(source, target)


def test_a_missing_replica_silences_nothing():
    """Neither alert has an instance, and labels that both lack are equal."""
    named = {"alertname": "ErrorBudgetBurnsFast", "service": "auth-service"}
    assert not inhibits(named | {"alertname": "ReplicaDown"}, named)


def test_what_is_critical_is_sent_sooner_and_more_often_than_a_warning():
    warning = PARSED["route"]
    (critical,) = (route for route in warning["routes"] if route["receiver"] == "critical")
    assert critical["matchers"] == ['severity="critical"']
    assert warning["receiver"] == "warning"
    for time in ("group_wait", "group_interval", "repeat_interval"):
        assert parse_duration(critical[time]) < parse_duration(warning[time]), time


def test_start_fills_in_every_placeholder_and_the_readme_documents_its_default():
    placeholders = set(re.findall(r"@(\w+)@", CONFIG + (FOLDER / "templates/message.tmpl").read_text()))
    filled = re.search(r"for name in ([A-Z_ ]+);", START)
    assert filled
    assert placeholders == set(filled[1].split())
    documented = dict(re.findall(r"(?m)^\| `(\w+)` \| `?([^|`]*?)`? \|", (FOLDER / "README.md").read_text()))
    for name, default in re.findall(r'"\$\{(\w+):=(.*?)\}"', START):
        assert documented[name] == (default or "empty"), name


def test_the_file_that_takes_the_place_of_a_missing_secret_is_empty():
    assert (FOLDER / "no-secret").read_bytes() == b""
