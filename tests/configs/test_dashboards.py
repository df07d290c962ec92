"""The dashboards are what their code builds, query only what exists, and keep the rules that readers rely on."""

import json
import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import prometheus_client
import promql_parser
import pytest
import yaml
from grafana_dashboards.__main__ import DASHBOARDS as BUILT
from grafana_foundation_sdk.models.dashboard import Dashboard
from stack import settings as stack_settings

from libs.observability.metrics.families import HTTP
from tests.configs import exporters, promql
from tests.configs.dashboards import (
    DASHBOARDS,
    DEV,
    MAY_BE_EMPTY,
    RULES,
    Query,
    filled_in,
    other_queries,
    panels,
    queries,
    recorded,
)

QUERIES = list(queries())
ALL_QUERIES = [*QUERIES, *other_queries()]
PANELS = [(uid, panel) for uid, dashboard in DASHBOARDS.items() for panel in panels(dashboard)]
SOURCES = {
    each["uid"]: each
    for each in yaml.safe_load((DEV / "grafana/provisioning/datasources/all.yml").read_text())["datasources"]
}

LOGIN_SUCCESS_RATE = {
    'rate(auth_login_total{status="success"}[5m])': "Success",
    'rate(auth_login_total{status="failure"}[5m])': "Failure",
}

# The exceptions from two rules, with their reasons.
WITHOUT_VARIABLES = {
    "business": "a business metric belongs to one service, and is not about a process",
    "slo": "a service level is a promise of a service, not of a process: no instance",
    "overview": "it shows the instances of a service as one; the dashboard Service shows a single one",
}
WITHOUT_MATCHERS = {
    r"slo:.*": "a service level has no instance",
    r"instance:.*": "one host has one job",
    r"ALERTS.*": "an alert names its service in the label `service`",
}


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    return promql.selectors(filled_in(expr))


def named(panel: tuple[str, dict]) -> str:
    return f"{panel[0]}: {panel[1]['title']}"


every_panel = pytest.mark.parametrize("panel", PANELS, ids=named)
every_dashboard = pytest.mark.parametrize("uid", DASHBOARDS)
every_query = pytest.mark.parametrize("query", QUERIES, ids=str)


@pytest.fixture(scope="module")
def ours() -> dict[str, set[str]]:
    """The metrics of the services, with their labels."""
    promql.exported_by_services()
    special = {
        "service_info": {"service", "version", "environment", "instance_id"},
        "circuit_breaker_state": {"circuit_breaker_state"},
    }
    for family in HTTP.collect():
        special |= {family.name + suffix: set(family._labelnames) for suffix in ("_total", "_bucket", "_count", "_sum")}
    return {
        name: {*getattr(collector, "_labelnames", ()), *special.get(name, ()), "le"}
        for name, collector in prometheus_client.REGISTRY._names_to_collectors.items()
        if not name.startswith(("python_", "process_"))
    }


def test_the_committed_files_are_what_the_code_builds():
    assert set(DASHBOARDS) == set(BUILT)
    for uid, build in BUILT.items():
        committed = (DEV / f"grafana/dashboards/{uid}.json").read_text()
        assert build() == committed, f"{uid}.json is not what its code builds: run `make dashboards`"


@every_dashboard
def test_grafanas_own_model_reads_a_dashboard_without_losing_anything(uid):
    read = Dashboard.from_json(DASHBOARDS[uid])
    assert (read.uid, len(read.panels)) == (uid, len(DASHBOARDS[uid]["panels"]))
    assert 41 <= read.schema_version <= 42
    assert read.editable is False


@every_dashboard
def test_a_dashboard_has_one_variable_for_its_data_source_and_fresh_values_in_the_others(uid):
    variables = DASHBOARDS[uid]["templating"]["list"]
    assert [each["name"] for each in variables if each["type"] == "datasource"] == ["datasource"]
    assert {each["refresh"] for each in variables if each["type"] == "query"} <= {2}
    names = {each["name"] for each in variables}
    assert {"job", "instance"} <= names or uid in WITHOUT_VARIABLES


@every_dashboard
def test_panels_have_a_number_of_their_own_and_lie_side_by_side(uid):
    listed = DASHBOARDS[uid]["panels"]
    assert [number for number, times in Counter(each["id"] for each in listed).items() if times > 1] == []
    taken = Counter(
        (x, y)
        for place in (each["gridPos"] for each in listed)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert [cell for cell, times in taken.items() if times > 1 or cell[0] >= 24] == []
    deepest = max(y for _, y in taken)
    assert len(taken) == 24 * (deepest + 1), "a hole"


@every_panel
def test_a_panel_says_what_it_shows(panel):
    panel = panel[1]
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["targets"]
    assert panel["type"] == "logs" or panel["fieldConfig"]["defaults"]["unit"]
    source = {"logs": "elasticsearch"}.get(panel["type"], "${datasource}")
    assert {panel["datasource"]["uid"], *(each["datasource"]["uid"] for each in panel["targets"])} == {source}


@pytest.mark.parametrize("panel", [each for each in PANELS if each[1]["type"] == "table"], ids=named)
def test_the_columns_of_a_table_have_the_same_labels(panel):
    """Grafana joins rows by all labels, and a bare selector also has the name of its metric as one."""
    organized = next(each for each in panel[1]["transformations"] if each["id"] == "organize")["options"]
    rows = {name for name in organized["renameByName"] if not name.startswith("Value")}
    for target in panel[1]["targets"]:
        grouped = [set(re.split(r",\s*", labels)) for labels in re.findall(r"\bby \(([\w, ]+)\)", target["expr"])]
        assert rows in grouped, target["expr"]


def test_each_exception_from_having_data_is_in_a_query():
    asked = "\n".join(query.expr for query in ALL_QUERIES)
    assert [part for part in MAY_BE_EMPTY if part not in asked] == []


@every_panel
def test_a_link_leads_to_a_dashboard_a_variable_and_a_data_source_that_exist(panel):
    links = re.findall(r'"url": "([^"]+)"', json.dumps(panel[1]))
    for link in links:
        assert "%24" not in link, "Grafana does not fill in a variable whose dollar sign is encoded"
        if found := re.match(r"/d/(\w+)\?(?:var-|\$\{)(\w+)", link):
            variables = {each["name"] for each in DASHBOARDS[found[1]]["templating"]["list"]}
            assert found[2] in variables
        else:
            pane = json.loads(parse_qs(urlsplit(link).query)["panes"][0])["left"]
            assert {pane["datasource"], *(each["datasource"]["uid"] for each in pane["queries"])} <= set(SOURCES)


@pytest.mark.parametrize("query", ALL_QUERIES, ids=str)
def test_a_query_uses_metrics_and_labels_that_exist(query, ours):
    others = {name for metrics in exporters.EXPORTERS.values() for name in metrics}
    for selector in selectors(query.expr):
        if selector.name in ours:
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels - {"job", "instance"} <= ours[selector.name]
        else:
            assert selector.name in recorded() | others | set(exporters.PROMETHEUS_ITSELF) | set(exporters.PROCESS)


WITHOUT_PANEL = {
    "password_hash_seconds",
    "password_hash_wait_seconds",
    "password_hashes_refused",
    "password_hashes_waiting",
    "db_client_operation_duration_seconds",
    "db_pool_pending_requests",
    "db_pool_timeouts",
    "db_pool_wait_seconds",
    "dependency_refused_requests",
    "dependency_up",
    "event_age_seconds",
    "event_handling_seconds",
    "http_exceptions",
    "http_requests_inprogress",
    "log_lines_written",
    "python_gc_pause_seconds",
    "service_call_duration_seconds",
    "service_call_retries",
    "thread_pool_limit",
    "thread_pool_pending_requests",
    "thread_pool_threads",
}
"""Metrics that no dashboard shows: who needs one asks for it in Explore."""


def test_every_metric_of_the_services_is_shown_somewhere(ours):
    shown = {selector.name for query in ALL_QUERIES for selector in selectors(query.expr)}
    family = re.compile(r"(_total|_bucket|_count|_sum|_created|_info)$")
    assert {family.sub("", name) for name in ours} <= {family.sub("", name) for name in shown} | WITHOUT_PANEL


def test_every_listed_metric_of_other_programs_is_used():
    asked = [rule["expr"] for rule in RULES] + [query.expr for query in ALL_QUERIES]
    used = {selector.name for expr in asked for selector in selectors(expr)}
    listed = {name for metrics in exporters.EXPORTERS.values() for name in metrics}
    assert listed | set(exporters.PROMETHEUS_ITSELF) | set(exporters.PROCESS) <= used


@every_query
def test_a_query_selects_only_what_the_variables_choose(query):
    wanted = {"job", "instance"} & {each["name"] for each in DASHBOARDS[query.dashboard]["templating"]["list"]}
    for selector in selectors(query.expr):
        if not any(re.fullmatch(pattern, selector.name) for pattern in WITHOUT_MATCHERS):
            matched = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            assert wanted <= matched.keys(), selector.prettify()


@every_query
def test_a_counter_is_shown_as_a_rate_over_the_window_that_fits_the_time_range(query):
    if query.expr in LOGIN_SUCCESS_RATE:
        return  # this panel was specified with a window of five minutes
    for window in re.findall(r"\[([^]]+)\]", query.expr):
        assert window in {"$__rate_interval", "$__range"}
    counted = re.sub(r"count by \([\w, ]+\) \(\w+", "", query.expr)  # how many series there are, not their values
    counters = set(re.findall(r"\b\w+_total\b", counted))
    assert counters <= set(re.findall(r"(?:rate|increase)\((\w+)", query.expr))


def test_login_success_rate_is_the_panel_that_was_specified():
    panel = next(each for uid, each in PANELS if (uid, each["title"]) == ("business", "Login Success Rate"))
    assert {each["expr"]: each["legendFormat"] for each in panel["targets"]} == LOGIN_SUCCESS_RATE


@pytest.mark.parametrize("panel", [each for each in PANELS if each[1]["type"] in {"timeseries", "heatmap"}], ids=named)
def test_a_duration_of_requests_over_time_leads_to_traces(panel):
    for target in panel[1]["targets"]:
        assert target["exemplar"] is ("http_request_duration_seconds_bucket" in target["expr"])


def test_an_exemplar_names_its_trace_as_the_services_do():
    exemplars = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert [(each["name"], each["datasourceUid"]) for each in exemplars] == [("trace_id", "jaeger")]


def test_the_links_out_of_grafana_use_the_default_ports():
    variables = {each["name"]: each["query"] for each in DASHBOARDS["service"]["templating"]["list"]}
    ports = {"KIBANA_PORT": "5601", **stack_settings.DEFAULTS}
    assert variables["kibana"] == f"http://localhost:{ports['KIBANA_PORT']}"
    assert variables["jaeger"] == f"http://localhost:{ports['JAEGER_UI_PORT']}"


def test_data_sources_lead_to_each_other():
    jaeger, elasticsearch = SOURCES["jaeger"]["jsonData"], SOURCES["elasticsearch"]["jsonData"]
    assert jaeger["tracesToLogsV2"]["datasourceUid"] == "elasticsearch"
    assert jaeger["tracesToMetrics"]["datasourceUid"] == "prometheus"
    assert [(each["field"], each["datasourceUid"]) for each in elasticsearch["dataLinks"]] == [("trace_id", "jaeger")]
    assert SOURCES["prometheus"]["jsonData"]["alertmanagerUid"] in SOURCES
    assert set(SOURCES) == {"prometheus", "alertmanager", "jaeger", "elasticsearch"}


def test_the_queries_of_data_sources_are_promql_over_metrics_that_exist(ours):
    for each in SOURCES["jaeger"]["jsonData"]["tracesToMetrics"]["queries"]:
        expr = each["query"].replace("$$__tags", 'job="auth-service"')
        assert {selector.name for selector in selectors(expr)} <= set(ours)


def test_a_dollar_sign_that_grafana_must_keep_is_written_twice():
    """In provisioning files Grafana replaces $NAME with an environment variable, or with nothing if there is none."""
    for file in (DEV / "grafana/provisioning").rglob("*.yml"):
        text = "".join(line for line in file.read_text().splitlines(True) if not line.lstrip().startswith("#"))
        assert "$" not in text.replace("$$", "")


def test_the_dashboards_that_alerts_name_exist():
    named = {rule["annotations"]["dashboard"] for rule in RULES if "alert" in rule}
    assert named <= set(DASHBOARDS)


def test_nonsense_is_no_promql():
    with pytest.raises(ValueError, match=r"."):
        selectors('sum(rate(http_requests_total{job=~"$job"}[5m])')
    assert filled_in("rate(up[$__rate_interval])", job="x") == "rate(up[5m])"
    assert isinstance(promql_parser.parse("up"), promql_parser.VectorSelector)
    assert str(Query("overview", "Up", "up")) == "overview: Up: up"
