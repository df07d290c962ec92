"""Kibana comes with the data view, the saved searches and the dashboard, without a step by hand."""

import httpx
import pytest

from tests.fixtures.waiting import eventually


@pytest.fixture(scope="module")
def titles(kibana: httpx.Client) -> dict[str, str]:
    """Titles by id. The set-up begins when Kibana is healthy and makes the dashboard last, so it may still be running."""

    def done() -> dict[str, str]:
        wanted = {"type": ["search", "dashboard"], "per_page": 1000}
        found = kibana.get("/api/saved_objects/_find", params=wanted).raise_for_status().json()["saved_objects"]
        there = {each["id"]: each["attributes"]["title"] for each in found}
        return there if "app-logs" in there else {}

    return eventually(done, 60, "kibana-setup has made no dashboard")


def test_kibana_and_what_it_stands_on_are_available(kibana):
    status = kibana.get("/api/status").raise_for_status().json()["status"]
    assert status["overall"]["level"] == "available"


def test_the_data_view_is_the_default_and_leads_from_a_line_to_its_trace(kibana, titles, settings):
    view = kibana.get("/api/data_views/data_view/app-logs").raise_for_status().json()["data_view"]
    assert (view["title"], view["timeFieldName"]) == ("logs-*", "@timestamp")
    template = view["fieldFormats"]["trace_id"]["params"]["urlTemplate"]
    assert template == f"http://localhost:{settings.port('JAEGER_UI_PORT')}/trace/{{{{value}}}}"
    assert kibana.get("/api/data_views/default").json() == {"data_view_id": "app-logs"}


def test_the_saved_searches_are_there(titles):
    assert {"app-logs-errors", "app-logs-service-errors", "app-logs-trace", "app-logs-user-errors"} <= titles.keys()


def test_the_dashboard_is_there(titles):
    assert titles["app-logs"] == "Application logs"
