"""The dashboards are what their code builds, query only what exists, and keep the rules that readers rely on."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import prometheus_client
import promql_parser
import pytest
import yaml
from grafana_dashboards.__main__ import FOLDERS, built
from grafana_foundation_sdk.models.dashboard import Dashboard

from libs.observability.metrics.families import HTTP
from tests.configs import exporters, promql
from tests.configs.dashboards import (
    DASHBOARDS,
    DEV,
    MAY_BE_EMPTY,
    RULES,
    RUNBOOKS,
    Query,
    asks_prometheus,
    filled_in,
    other_queries,
    panels,
    queries,
    recorded,
)

EVERY = DASHBOARDS | RUNBOOKS
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

# Averages, shares of time and device names, which each machine has of its own.
OF_A_MACHINE = r"node_(load|pressure|disk|network_(receive|transmit)_bytes)"

# 1 for each thing that runs.
RUNNING = {"up", "pg_up", "rabbitmq_detailed_queue_consumers", "dependency_up"}

# The exceptions from two rules, with their reasons.
WITHOUT_VARIABLES = {
    "business": "a business metric belongs to one service, and is not about a process",
    "slo": "a service level is a promise of a service, not of a process: no instance",
    "log-lines": "a line names its service, in whatever store it is",
    "overview": "it shows the instances of a service as one; the dashboard Service shows a single one",
}
WITHOUT_MATCHERS = {
    r"slo:.*": "a service level has no instance",
    r"instance:.*": "one host has one job",
    r"ALERTS.*": "an alert names its service in the label `service`",
    r"log_lines_written_total|elasticsearch_indices_docs_primary|otelcol_exporter_sent_log_records_total": "who writes a line is not who stores it",
}


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    return promql.selectors(filled_in(expr))


def named(panel: tuple[str, dict]) -> str:
    return f"{panel[0]}: {panel[1]['title']}"


GRAPHS = [each for each in PANELS if each[1]["type"] == "timeseries" and asks_prometheus(each[1])]
NUMBERS = [each for each in PANELS if each[1]["type"] in {"stat", "gauge"}]
TABLES = [each for each in PANELS if each[1]["type"] == "table"]


class Coloured(NamedTuple):
    """A number, or a column of a table, whose colour says whether its value is good."""

    name: str
    unit: str
    expr: str
    colours: list[str]
    bounds: list[float | None]


def coloured() -> Iterator[Coloured]:
    """Every number and column with thresholds."""
    for panel in NUMBERS:
        defaults = panel[1]["fieldConfig"]["defaults"]
        yield _coloured(named(panel), defaults["unit"], panel[1]["targets"][0]["expr"], defaults["thresholds"])
    for panel in TABLES:
        headings = panel[1]["transformations"][-1]["options"]["renameByName"]
        exprs = {
            headings.get(f"Value #{each['refId']}", headings.get("Value")): each["expr"] for each in panel[1]["targets"]
        }
        for override in panel[1]["fieldConfig"]["overrides"]:
            heading, set_ = (
                override["matcher"]["options"],
                {each["id"]: each["value"] for each in override["properties"]},
            )
            if "thresholds" in set_:
                yield _coloured(f"{named(panel)}: {heading}", set_["unit"], exprs[heading], set_["thresholds"])


def _coloured(name: str, unit: str, expr: str, thresholds: dict) -> Coloured:
    colours, bounds = ([step[key] for step in thresholds["steps"]] for key in ("color", "value"))
    return Coloured(name, unit, expr, colours, bounds)


every_panel = pytest.mark.parametrize("panel", PANELS, ids=named)
every_number = pytest.mark.parametrize("panel", NUMBERS, ids=named)
every_coloured = pytest.mark.parametrize("each", list(coloured()), ids=lambda each: each.name)
every_dashboard = pytest.mark.parametrize("uid", EVERY)
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
        if not name.startswith(("python_gc_objects", "python_gc_collections", "python_info", "process_", "stamina_"))
    }


def test_the_committed_files_are_what_the_code_builds():
    files = built()
    committed = {file for folder in FOLDERS for file in folder.iterdir()}
    assert committed == files.keys(), "run `make dashboards`"
    for file, text in files.items():
        assert file.read_text() == text, f"{file.name} is not what its code builds: run `make dashboards`"


@every_dashboard
def test_grafanas_own_model_reads_a_dashboard_without_losing_anything(uid):
    read = Dashboard.from_json(EVERY[uid])
    assert (read.uid, len(read.panels)) == (uid, len(EVERY[uid]["panels"]))
    assert len(uid) <= 40, "Grafana refuses it"
    assert 41 <= read.schema_version <= 42
    assert read.editable is False


@every_dashboard
def test_a_dashboard_has_one_variable_for_its_data_source_and_fresh_values_in_the_others(uid):
    variables = EVERY[uid]["templating"]["list"]
    assert [each["name"] for each in variables if each["type"] == "datasource"] == ["datasource"]
    assert {each["refresh"] for each in variables if each["type"] == "query"} <= {2}
    names = {each["name"] for each in variables}
    assert {"job", "instance"} <= names or uid in WITHOUT_VARIABLES or uid in RUNBOOKS


@every_dashboard
def test_a_dashboard_has_no_field_that_grafanas_schema_does_not_have(uid):
    """The SDK adds them, for older versions or for other kinds of variables and links."""
    dashboard = EVERY[uid]
    assert not [each for each in dashboard["links"] if "placement" in each]
    assert not [each for each in dashboard["annotations"]["list"] if "expr" in each or not each["target"]["refId"]]
    odd = {"auto", "auto_count", "auto_min", "definition"}
    assert not [each["name"] for each in dashboard["templating"]["list"] if odd & each.keys()]
    assert not [each["title"] for each in panels(dashboard) if "footer" in each["options"]]
    for link in re.findall(r'"links": (\[[^]]*\])', json.dumps(dashboard["panels"])):
        assert all(each.keys() == {"title", "url", "targetBlank"} for each in json.loads(link))


@every_dashboard
def test_panels_have_a_number_of_their_own_and_lie_side_by_side(uid):
    listed = EVERY[uid]["panels"]
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
    assert {each["datasource"]["uid"] for each in panel["targets"]} == {panel["datasource"]["uid"]}
    assert asks_prometheus(panel) or panel["datasource"]["uid"] == "elasticsearch"


@every_number
def test_a_number_tells_the_present(panel):
    """The last value of a range is old as soon as its source is gone, and a curve under it looks like a present."""
    assert [(each["instant"], each["range"]) for each in panel[1]["targets"]] == [(True, False)]
    assert panel[1]["options"]["graphMode"] == "none"


@pytest.mark.parametrize("panel", NUMBERS + TABLES, ids=named)
def test_a_missing_value_is_said_in_words_and_has_no_colour(panel):
    """Without the mapping, Grafana shows it in the first colour of the thresholds."""
    defaults = panel[1]["fieldConfig"]["defaults"]
    nothing = {"match": "null+nan", "result": {"text": defaults["noValue"], "color": "text"}}
    assert defaults["mappings"] == [{"type": "special", "options": nothing}]
    assert not defaults["noValue"].isdigit()


@every_query
def test_no_query_invents_a_value(query):
    assert not re.search(r"\b(vector|absent)\(", query.expr)


@every_coloured
def test_green_is_at_the_good_end_and_red_at_the_bad_one(each):
    order = ["green", "orange", "red"]
    ranks = [order.index(colour) for colour in each.colours if colour != "text"]
    assert each.bounds[0] is None
    assert each.bounds[1:] == sorted(each.bounds[1:])
    assert ranks == [] or (0 in ranks and len(ranks) > 1 and ranks in (sorted(ranks), sorted(ranks, reverse=True)))


@every_coloured
def test_green_from_a_bound_on_means_all_of_them(each):
    """One of five is more than none. Where more is better, the value is a share, and that of what runs is 1."""
    if each.colours[-1] == "green":
        assert each.unit == "percentunit"
        running = {selector.name for selector in selectors(each.expr)} & RUNNING
        assert each.bounds[-1] == 1 or not running


def test_a_panel_for_each_kind_of_thing_that_runs_is_coloured():
    asked = [{selector.name for selector in selectors(each.expr)} for each in coloured() if each.colours[-1] == "green"]
    assert [name for name in RUNNING if not any(name in names for names in asked)] == []


@pytest.mark.parametrize("panel", TABLES, ids=named)
def test_the_columns_of_a_table_have_the_same_labels(panel):
    """Grafana joins rows by all labels, and a bare selector also has the name of its metric as one."""
    organized = next(each for each in panel[1]["transformations"] if each["id"] == "organize")["options"]
    rows = {name for name in organized["renameByName"] if not name.startswith("Value")}
    for target in panel[1]["targets"]:
        grouped = [set(re.split(r",\s*", labels)) for labels in re.findall(r"\bby \(([\w, ]+)\)", target["expr"])]
        assert rows in grouped, target["expr"]


def test_a_firing_alert_leads_to_its_runbook():
    """A cell shows the name of the runbook's file instead of the alert's, since a link cannot turn one into the other."""
    table = next(each for uid, each in TABLES if each["title"] == "Firing alerts and their age")
    (override,) = (each for each in table["fieldConfig"]["overrides"] if each["matcher"]["options"] == "Alert")
    (mapping,) = (each["value"] for each in override["properties"] if each["id"] == "mappings")
    shown = {alert: f"runbook-{result['text']}" for alert, result in mapping[0]["options"].items()}
    assert {rule["alert"] for rule in RULES if "alert" in rule} <= shown.keys()
    assert set(shown.values()) == set(RUNBOOKS)


def test_each_exception_from_having_data_is_in_a_query():
    asked = "\n".join(query.expr for query in ALL_QUERIES)
    assert [part for part in MAY_BE_EMPTY if part not in asked] == []


@every_panel
def test_a_link_leads_to_a_dashboard_a_variable_and_a_data_source_that_exist(panel):
    links = re.findall(r'"url": "([^"]+)"', json.dumps(panel[1]))
    for link in links:
        assert "%24" not in link, "Grafana does not fill in a variable whose dollar sign is encoded"
        if found := re.fullmatch(r"/d/(.+)\?(?:var-|\$\{)(\w+)(=.+|:queryparam\})&\$\{__url_time_range\}", link):
            for uid in RUNBOOKS if found[1] == "runbook-${__value.text}" else [found[1]]:
                assert found[2] in {each["name"] for each in EVERY[uid]["templating"]["list"]}
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


def test_every_metric_of_the_services_is_shown_somewhere(ours):
    shown = {selector.name for query in ALL_QUERIES for selector in selectors(query.expr)}
    family = re.compile(r"(_total|_bucket|_count|_sum|_created|_info)$")
    assert {family.sub("", name) for name in ours} <= {family.sub("", name) for name in shown}


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


def parts(expr: str, kind: type) -> list:
    """Every part of an expression that is of this kind, the outermost first."""
    found: list = []

    def visit(part: object) -> None:
        if isinstance(part, kind):
            found.append(part)
        inner = (getattr(part, name, None) for name in ("lhs", "rhs", "expr", "vector_selector"))
        for each in [*inner, *getattr(part, "args", [])]:
            if each is not None:
                visit(each)

    visit(promql_parser.parse(filled_in(expr)))
    return found


def groups(part: promql_parser.AggregateExpr) -> set[str]:
    """The labels of its `by`."""
    return set(part.modifier.labels) if part.modifier else set()


@every_query
def test_a_highest_share_is_taken_of_shares(query):
    """`max(used) / max(limit)` divides the numbers of two machines, `sum(used) / sum(limit)` hides the full one behind the empty."""
    for division in parts(query.expr, promql_parser.BinaryExpr):
        if str(division.op) == "/":
            for side in (division.lhs, division.rhs):
                outermost = parts(side.prettify(), promql_parser.AggregateExpr)[:1]
                assert all(groups(each) or parts(each.prettify(), promql_parser.Call) for each in outermost)


@every_query
def test_what_a_machine_measures_of_itself_is_not_added_up_with_that_of_others(query):
    """Two machines that each wait half of the time do not wait all the time."""
    for aggregate in parts(query.expr, promql_parser.AggregateExpr):
        if str(aggregate.op) == "sum" and any(
            re.match(OF_A_MACHINE, each.name) for each in selectors(aggregate.prettify())
        ):
            assert "instance" in groups(aggregate)


@pytest.mark.parametrize("panel", GRAPHS, ids=named)
def test_a_line_is_named_by_all_labels_that_tell_it_from_others(panel):
    for target in panel[1]["targets"]:
        aggregates = parts(target["expr"], promql_parser.AggregateExpr)
        told_apart = groups(aggregates[0]) if aggregates else set()
        assert told_apart <= {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]), "le"}


def test_the_lines_of_burn_rates_are_those_at_which_alerts_fire():
    alerts = [rule["expr"] for rule in RULES if rule.get("alert", "").startswith("ErrorBudgetBurns")]
    compared = [found for expr in alerts for found in re.findall(r"(slo:burn_rate:[^()>]+) > ([\d.]+)", expr)]
    drawn = {
        (re.sub(r"\{.*?\}", "", target["expr"]), panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"])
        for panel in panels(DASHBOARDS["slo"])
        if panel["type"] == "timeseries" and "slo:burn_rate" in panel["targets"][0]["expr"]
        for target in panel["targets"]
    }
    assert drawn == {(expr, float(bound)) for expr, bound in compared}


def test_the_overview_shows_how_full_each_service_is():
    """As a table and over time: what fills up before requests fail."""
    scarce = {
        "db_pool_limit",
        "event_loop_lag_seconds_bucket",
        "process_resident_memory_bytes",
        "outbox_oldest_unsent_seconds",
    }
    for kind in ("table", "timeseries"):
        shown = [panel for panel in panels(DASHBOARDS["overview"]) if panel["type"] == kind]
        asked = [each["expr"] for panel in shown for each in panel["targets"]]
        by_service = [expr for expr in asked if re.match(r"max by \(job(, destination)?\) ", expr)]
        assert scarce <= {selector.name for expr in by_service for selector in selectors(expr)}


def test_memory_is_compared_with_the_limit_of_the_containers():
    compose = yaml.safe_load((DEV.parent / "docker-compose.dev.yml").read_text())
    limit = compose["x-service"]["deploy"]["resources"]["limits"]["memory"]
    shares = [query.expr for query in QUERIES if "process_resident_memory_bytes" in query.expr and "/ 2" in query.expr]
    assert len(shares) == 2
    assert all(expr.endswith(f"/ {int(limit.removesuffix('M')) * 2**20}") for expr in shares)


def test_login_success_rate_is_the_panel_that_was_specified():
    panel = next(each for uid, each in PANELS if (uid, each["title"]) == ("business", "Login Success Rate"))
    assert {each["expr"]: each["legendFormat"] for each in panel["targets"]} == LOGIN_SUCCESS_RATE


def has_exemplars(selector: promql_parser.VectorSelector) -> bool:
    """Whether the requests behind this series are those that a reader looks for: slow ones, or those with one kind of answer."""
    labels = {matcher.name for matcher in selector.matchers.matchers}
    slow = selector.name == "http_request_duration_seconds_bucket"
    return slow or (selector.name == "http_requests_total" and "status" in labels)


@pytest.mark.parametrize("panel", [*GRAPHS, *(each for each in PANELS if each[1]["type"] == "heatmap")], ids=named)
def test_a_query_for_slow_or_failed_requests_leads_to_their_traces(panel):
    """Prometheus looks up the exemplars of every selector of a query: a share of failures would show successes too."""
    for target in panel[1]["targets"]:
        assert target["exemplar"] is all(map(has_exemplars, selectors(target["expr"])))


@pytest.mark.parametrize("uid", ["overview", "service"])
def test_failures_beside_their_share_are_shown_with_their_traces(uid):
    asked = [
        (each["expr"], each.get("exemplar"))
        for panel in panels(DASHBOARDS[uid])
        for each in panel["targets"]
        if "expr" in each
    ]
    failed = [(expr, exemplar) for expr, exemplar in asked if 'status="5xx"' in expr]
    assert any("/" in expr for expr, _ in failed)
    assert any(exemplar for _, exemplar in failed)


@every_panel
def test_a_link_to_the_traces_of_a_service_has_one_to_its_failed_traces_and_its_log_lines_beside_it(panel):
    """Of the same service, and for the same time."""
    urls = {
        each["title"]: each["url"]
        for found in re.findall(r'"links": (\[[^]]*\])', json.dumps(panel[1]))
        for each in json.loads(found)
    }
    panes = {
        title: json.loads(parse_qs(urlsplit(url).query)["panes"][0])["left"]
        for title, url in urls.items()
        if url.startswith("/explore")
    }
    if panes:
        failed, all_ = (panes[f"{what} of this service"] for what in ("Failed traces", "Traces"))
        assert failed["queries"] == [all_["queries"][0] | {"tags": "error=true"}]
        service = all_["queries"][0]["service"]
        lines = f"/d/log-lines?var-service={service}&${{__url_time_range}}"
        assert urls["Log lines of this service"] == lines
        assert failed["range"] == all_["range"] == {"from": "${__from}", "to": "${__to}"}


def test_an_exemplar_names_its_trace_as_the_services_do():
    exemplars = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert {each["name"] for each in exemplars} == {"trace_id"}
    assert [each["datasourceUid"] for each in exemplars if "datasourceUid" in each] == ["jaeger"]


def test_data_sources_lead_to_each_other():
    jaeger, elasticsearch = SOURCES["jaeger"]["jsonData"], SOURCES["elasticsearch"]["jsonData"]
    assert jaeger["tracesToLogsV2"]["datasourceUid"] == "elasticsearch"
    assert jaeger["tracesToMetrics"]["datasourceUid"] == "prometheus"
    assert {each["field"] for each in elasticsearch["dataLinks"]} == {"trace_id"}
    assert SOURCES["prometheus"]["jsonData"]["alertmanagerUid"] in SOURCES
    assert set(SOURCES) == {"prometheus", "alertmanager", "jaeger", "elasticsearch"}


def test_the_queries_of_data_sources_are_promql_over_metrics_that_exist(ours):
    for each in SOURCES["jaeger"]["jsonData"]["tracesToMetrics"]["queries"]:
        expr = each["query"].replace("$$__tags", 'job="auth-service"')
        assert {selector.name for selector in selectors(expr)} <= set(ours)


def test_a_dollar_sign_that_grafana_must_keep_is_written_twice():
    """In provisioning files Grafana replaces $NAME with an environment variable, or with nothing if there is none.

    A whole value may be one: what that holds is read as it is, which what stands for ${NAME} is not.
    """
    files = [*DEV.glob("grafana/provisioning*/**/*.yml")]
    assert len(files) == 4
    for file in files:
        text = "".join(line for line in file.read_text().splitlines(True) if not line.lstrip().startswith("#"))
        assert "$" not in re.sub(r": \$ES_\w+\n", "\n", text.replace("$$", ""))


def test_the_dashboards_that_alerts_name_exist():
    named = {rule["annotations"]["dashboard"] for rule in RULES if "alert" in rule}
    assert named <= set(DASHBOARDS)


def test_nonsense_is_no_promql():
    with pytest.raises(ValueError, match=r"."):
        selectors('sum(rate(http_requests_total{job=~"$job"}[5m])')
    assert filled_in("rate(up[$__rate_interval])", job="x") == "rate(up[5m])"
    assert isinstance(promql_parser.parse("up"), promql_parser.VectorSelector)
    assert str(Query("overview", "Up", "up")) == "overview: Up: up"
