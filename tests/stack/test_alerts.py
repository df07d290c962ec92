"""The alerts can fire: they ask for what exists, are loaded, and reach Alertmanager."""

import pytest

from tests.configs.dashboards import RULES
from tests.configs.promql import selectors
from tests.fixtures.waiting import eventually
from tests.stack.measured import sources

ALERTS = {rule["alert"] for rule in RULES if "alert" in rule}
# A selector with one of these in it may match no series while all is well.
MAY_MATCH_NOTHING = {
    "events_dead_total": "a series begins with the first event that was given up",
    'status="5xx"': "a series begins with the first request that failed",
}
# Without `offset`: a stack of five minutes has no hour ago.
SELECTORS = sorted(
    {
        (rule.get("alert") or rule["record"], selector.prettify().partition(" offset ")[0])
        for rule in RULES
        for selector in selectors(rule["expr"])
    }
)


@pytest.mark.parametrize(("rule", "selector"), SELECTORS, ids=lambda part: part)
def test_a_selector_matches_a_series(measured, rule, selector):
    measured.must_run(*sources(selector))
    if any(part in selector for part in MAY_MATCH_NOTHING):
        measured.values(selector)  # but it is no error
    else:
        measured.eventually(selector)


def test_what_may_match_nothing_is_asked_for():
    assert [part for part in MAY_MATCH_NOTHING if not any(part in selector for _, selector in SELECTORS)] == []


def test_the_alerts_are_loaded_with_what_an_operator_needs(measured):
    groups = measured.get("/api/v1/rules?type=alert")["groups"]
    loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(loaded) == ALERTS
    for rule in loaded.values():
        assert {"summary", "description", "runbook_url", "dashboard"} <= rule["annotations"].keys()
        assert rule["labels"]["severity"]


def test_prometheus_has_an_alertmanager_to_tell(measured, alertmanager):
    known = measured.get("/api/v1/alertmanagers")
    assert [each["url"] for each in known["activeAlertmanagers"]] == ["http://alertmanager:9093/api/v2/alerts"]


def test_the_alert_that_always_fires_has_arrived_and_goes_to_nobody(measured, alertmanager):
    def watchdog() -> list[dict]:
        alerts = alertmanager.get("/api/v2/alerts", params={"filter": 'alertname="Watchdog"'})
        return alerts.raise_for_status().json()

    (arrived,) = eventually(watchdog, 60, "Alertmanager has not heard of Watchdog")
    assert arrived["receivers"] == [{"name": "nobody"}]
