"""Kibana has what people click on: the data view, the saved searches and the dashboard, without anybody's doing."""

import pytest

from tests.fixtures.waiting import eventually


@pytest.fixture(scope="module", autouse=True)
def set_up(kibana) -> None:
    """The set-up runs after Kibana has become healthy, so it may not be done yet."""
    eventually(lambda: kibana.get("/api/dashboards/app-logs").is_success, 60, "kibana-setup has made no dashboard")


def test_kibana_and_what_it_stands_on_are_available(kibana):
    status = kibana.get("/api/status").raise_for_status().json()["status"]
    assert status["overall"]["level"] == "available"


def test_the_data_view_is_the_default_and_leads_from_a_line_to_its_trace(kibana, settings):
    view = kibana.get("/api/data_views/data_view/app-logs").raise_for_status().json()["data_view"]
    assert (view["title"], view["timeFieldName"]) == ("logs-*", "@timestamp")
    template = view["fieldFormats"]["trace_id"]["params"]["urlTemplate"]
    assert template == f"http://localhost:{settings.port('JAEGER_UI_PORT')}/trace/{{{{value}}}}"
    assert kibana.get("/api/data_views/default").json() == {"data_view_id": "app-logs"}


def test_the_data_view_shows_the_fields_of_the_lines(kibana, elasticsearch, logstash, made):
    def fields() -> set[str]:
        view = kibana.get("/api/data_views/data_view/app-logs").raise_for_status().json()["data_view"]
        found = set(view["fields"])
        return found if {"trace_id", "service.keyword", "level.keyword", "http.route"} <= found else set()

    eventually(fields, 90, "the data view lacks fields of the lines")


def test_the_saved_searches_are_there(kibana):
    found = kibana.get("/api/saved_objects/_find", params={"type": "search", "per_page": 100}).raise_for_status().json()
    assert {"app-logs-errors", "app-logs-service-errors", "app-logs-trace"} <= {
        each["id"] for each in found["saved_objects"]
    }


def test_the_dashboard_is_there(kibana):
    found = kibana.get("/api/saved_objects/_find", params={"type": "dashboard", "per_page": 100})
    titles = {each["id"]: each["attributes"]["title"] for each in found.raise_for_status().json()["saved_objects"]}
    assert titles["app-logs"] == "Application logs"
