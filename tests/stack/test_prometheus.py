"""Prometheus scrapes every target that runs, has loaded the committed rules, and evaluates each without an error."""

from typing import Any

import pytest

from tests.configs.dashboards import RULES
from tests.fixtures.waiting import eventually
from tests.stack.measured import FOUND_BY_NAME, PROFILES, TARGETS, container

NAMES = sorted({rule.get("alert") or rule["record"] for rule in RULES})


@pytest.mark.parametrize("job", TARGETS)
def test_every_target_is_up(measured, mode, address, job):
    measured.must_run(container(job))

    def found() -> list[dict[str, Any]]:
        return [each for each in measured.get("/api/v1/targets")["activeTargets"] if each["labels"]["job"] == job]

    def are_up() -> bool:
        return {each["health"] for each in found()} == {"up"}

    eventually(are_up, 30, lambda: f"{TARGETS[job]} is not up: {[each['lastError'] for each in found()]}")
    instances = [each["labels"]["instance"] for each in found()]
    if mode != "local" and job in FOUND_BY_NAME:  # each replica by its own address
        assert {each.rpartition(":")[2] for each in instances} == {TARGETS[job].rpartition(":")[2]}
    else:
        assert instances == [address(TARGETS[job])]


def test_there_are_no_other_targets(measured, mode, running):
    scraped = {each["labels"]["job"] for each in measured.get("/api/v1/targets")["activeTargets"]}
    anyway = PROFILES if running is None else FOUND_BY_NAME  # what has no address is no target
    here = {job for job in TARGETS if running and container(job) in running}
    assert scraped == here | {job for job in TARGETS if mode != "local" and job not in anyway}


def test_the_rules_are_those_of_the_files(measured):
    """And no others, but for those that start.sh writes."""
    groups = [each for each in measured.get("/api/v1/rules")["groups"] if each["name"] != "stated"]
    loaded = [rule["name"] for group in groups for rule in group["rules"]]
    assert sorted(set(loaded)) == NAMES
    assert len(loaded) == len(RULES)


def test_no_rule_is_in_error(measured):
    def judged() -> list[dict[str, str]]:
        rules = [rule for group in measured.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else []

    rules = eventually(judged, 60, "a rule has not been evaluated")
    assert [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"] == []
