"""The alerts can fire: they select series that exist, are loaded, and reach Alertmanager."""

import pytest

from tests.configs.dashboards import RULES
from tests.configs.promql import selectors
from tests.fixtures.waiting import eventually
from tests.stack.measured import sources

ALERTS = {rule["alert"] for rule in RULES if "alert" in rule}
# A selector with one of these in it may match no series while all is well.
MAY_MATCH_NOTHING = {
    "job:process_starts:sum15m": "it begins a quarter of an hour after the service",
    "otelcol_receiver_refused_spans_total": "Jaeger's series begins with the first span that it refuses",
    "otelcol_exporter_send_failed_spans_total": "Jaeger's series begins with the first span that it does not store",
    "otelcol_exporter_sent_log_records_total": "Loki is a part that is left out by default",
    "otelcol_exporter_send_failed_log_records_total": "the series begins with the first line that Loki refuses",
    "otelcol_elasticsearch_docs_processed_total": "of the type of an error, the series begins with the first document that is refused",
    'up{job=~"loki|otel-collector"}': "Loki is a part that is left out by default",
    "job:up:stated": "what ought to be there is stated by `make up` of containers",
    "ALERTS{": "no service has been down",
    "idle in transaction": "no transaction is open",
    "slo:covered:ratio": "it begins with the first full hour",
    "elasticsearch_indices_docs_primary": "there is an index once Logstash runs",
}
# Without `offset`: a stack that is five minutes old has no data from an hour ago.
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
        measured.values(selector)  # an error fails here, an empty result does not
    else:
        measured.eventually(selector)


def test_each_exception_is_in_a_selector():
    assert [part for part in MAY_MATCH_NOTHING if not any(part in selector for _, selector in SELECTORS)] == []


def test_the_alerts_are_loaded_with_what_an_operator_needs(measured):
    groups = measured.get("/api/v1/rules?type=alert")["groups"]
    loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(loaded) == ALERTS
    for rule in loaded.values():
        assert {"summary", "description", "runbook_url", "dashboard"} <= rule["annotations"].keys()
        assert rule["labels"]["severity"]


def test_prometheus_sends_alerts_to_each_alertmanager(measured, alertmanager):
    scraped = [
        each for each in measured.get("/api/v1/targets")["activeTargets"] if each["labels"]["job"] == "alertmanager"
    ]
    known = measured.get("/api/v1/alertmanagers")
    assert sorted(each["url"] for each in known["activeAlertmanagers"]) == sorted(
        f"http://{each['labels']['instance']}/api/v2/alerts" for each in scraped
    )


def test_the_alert_that_always_fires_has_arrived_and_goes_to_nobody(measured, alertmanager):
    def watchdog() -> list[dict]:
        alerts = alertmanager.get("/api/v2/alerts", params={"filter": 'alertname="Watchdog"'})
        return alerts.raise_for_status().json()

    (arrived,) = eventually(watchdog, 60, "Watchdog has not reached Alertmanager")
    assert arrived["receivers"] == [{"name": "nobody"}]
