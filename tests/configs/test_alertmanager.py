"""Alertmanager's configuration names alerts that exist, and every variable that it takes is documented."""

import re
from pathlib import Path

import yaml
from promql_parser import parse_duration

from tests.configs.test_prometheus import ALERTS

FOLDER = Path(__file__).parents[2] / "dev-environment/alertmanager"
CONFIG = (FOLDER / "alertmanager.yml").read_text()
START = (FOLDER / "start.sh").read_text()


def test_inhibitions_and_routes_name_alerts_that_exist():
    # A placeholder such as @NAME@ is not YAML; any value in its place is.
    config = yaml.safe_load(re.sub(r"@\w+@", "false", CONFIG))
    matchers = [
        matcher for rule in config["inhibit_rules"] for key in rule if "matchers" in key for matcher in rule[key]
    ]
    matchers += [matcher for route in config["route"]["routes"] for matcher in route.get("matchers", [])]
    matchers.remove('severity="critical"')
    patterns = [re.fullmatch(r'alertname(?:=~|!=|=)"(.+)"', matcher) for matcher in matchers]
    for pattern in patterns:
        assert pattern
        for name in pattern[1].split("|"):
            assert any(re.fullmatch(name, alert) for alert in ALERTS), name


def test_what_is_critical_is_sent_sooner_and_more_often_than_a_warning():
    warning = yaml.safe_load(re.sub(r"@\w+@", "false", CONFIG))["route"]
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
