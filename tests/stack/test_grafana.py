"""Grafana is provisioned: its data sources answer, its dashboards are there, and it shows Prometheus's alerts."""

import pytest
import yaml

from tests.configs.dashboards import DASHBOARDS, DEV, RULES, RUNBOOKS
from tests.fixtures.waiting import eventually

SOURCES, WITH_LOKI = (
    {each["uid"]: each["type"] for each in yaml.safe_load(file.read_text())["datasources"]}
    for file in (DEV / f"grafana/{folder}/datasources/all.yml" for folder in ("provisioning", "provisioning-loki"))
)
# Alertmanager's data source runs in the browser only, so Grafana's server cannot check its health.
WITHOUT_HEALTH = {"alertmanager"}


def test_grafana_and_its_database_are_well(grafana):
    assert grafana.get("/api/health").raise_for_status().json()["database"] == "ok"


def may_read_either_store(running: set[str] | None) -> bool:
    """Whether both stores of log lines run, of which Grafana reads one, or nobody knows."""
    return running is None or {"loki", "elasticsearch"} <= running


def test_the_data_sources_are_those_of_the_file(grafana, mode, running):
    there = {each["uid"]: each["type"] for each in grafana.get("/api/datasources").raise_for_status().json()}
    reads_loki = "loki" in (there if may_read_either_store(running) else running)
    sources = WITH_LOKI if reads_loki else SOURCES
    assert there == {uid: kind for uid, kind in sources.items() if mode != "local" or uid in running}


@pytest.mark.parametrize("uid", sorted((SOURCES | WITH_LOKI).keys() - WITHOUT_HEALTH))
def test_a_data_source_is_healthy(grafana, request, running, uid):
    request.getfixturevalue(uid)  # skips if the source itself does not run
    there = {each["uid"] for each in grafana.get("/api/datasources").raise_for_status().json()}
    if uid not in SOURCES.keys() & WITH_LOKI.keys() | there and may_read_either_store(running):
        pytest.skip("Grafana reads log lines from the other store")

    def health() -> dict:
        return grafana.get(f"/api/datasources/uid/{uid}/health").json()

    # Elasticsearch's data source is healthy only once there is an index.
    eventually(lambda: health().get("status") == "OK", 60, lambda: f"{uid} is not healthy: {health()}")


def test_alertmanager_answers_through_grafana(grafana, alertmanager):
    alerts = eventually(
        lambda: grafana.get("/api/datasources/proxy/uid/alertmanager/api/v2/alerts").raise_for_status().json(),
        60,
        "no alert is shown, not even Watchdog",
    )
    assert "Watchdog" in {each["labels"]["alertname"] for each in alerts}


def test_a_query_of_a_panel_returns_data(grafana, measured):
    target = {"refId": "A", "datasource": {"uid": "prometheus"}, "expr": "up", "instant": True}
    body = {"queries": [target | {"intervalMs": 15_000, "maxDataPoints": 100}], "from": "now-5m", "to": "now"}
    result = grafana.post("/api/ds/query", json=body).raise_for_status().json()["results"]["A"]
    assert "error" not in result
    assert sum(len(frame["data"]["values"][0]) for frame in result["frames"]) > 0


def test_the_plugin_of_elasticsearch_is_there(grafana, elasticsearch):
    """The plugin is part of the image, and an update when Grafana starts can break it."""
    assert grafana.get("/api/plugins/elasticsearch/settings").status_code == 200


@pytest.mark.parametrize("uid", DASHBOARDS | RUNBOOKS)
def test_a_dashboard_is_there_as_committed(grafana, uid):
    file = (DASHBOARDS | RUNBOOKS)[uid]
    answer = grafana.get(f"/api/dashboards/uid/{uid}").raise_for_status().json()
    assert answer["meta"]["provisioned"] is True
    assert answer["meta"]["folderTitle"] == ("Runbooks" if uid in RUNBOOKS else "All-ERP")
    assert answer["dashboard"]["title"] == file["title"]
    shown, committed = ([panel["title"] for panel in each["panels"]] for each in (answer["dashboard"], file))
    assert shown == committed


def test_grafana_shows_the_alerts_of_prometheus_without_an_error(grafana, prometheus):
    groups = grafana.get("/api/prometheus/prometheus/api/v1/rules").raise_for_status().json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == {
        rule["alert"] for rule in RULES if "alert" in rule
    }
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
