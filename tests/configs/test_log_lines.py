"""Whatever leads to log lines works with either store, which differ in nothing else of Grafana."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from grafana_dashboards import log_stores
from grafana_dashboards.links import OUTSIDE
from grafana_foundation_sdk.models.dashboard import Dashboard
from stack import settings as stack_settings
from stack.services import SERVICES

from tests.configs.dashboards import (
    DEV,
    EVERYWHERE,
    IN_ELASTICSEARCH,
    IN_LOKI,
    RUNBOOKS,
    panels,
)

BY_STORE = {"elasticsearch": IN_ELASTICSEARCH, "loki": IN_LOKI}
FOLDERS = {"elasticsearch": DEV / "grafana/provisioning", "loki": DEV / "grafana/provisioning-loki"}
SOURCES = {
    store: {each["uid"]: each for each in yaml.safe_load((folder / "datasources/all.yml").read_text())["datasources"]}
    for store, folder in FOLDERS.items()
}
KEPT = json.loads((DEV / "elasticsearch/ilm.json").read_text())["policy"]["phases"]["delete"]["min_age"]
README = (DEV / "loki/README.md").read_text()
TITLES = ("service", "log-lines")
QUESTIONS = [each for each in vars(log_stores).values() if isinstance(each, log_stores.Question)]

every_store = pytest.mark.parametrize("store", BY_STORE)


def asking(dashboard: dict[str, Any], store: str) -> Iterator[dict[str, Any]]:
    """The panels that ask the store."""
    yield from (panel for panel in panels(dashboard) if panel["datasource"]["uid"] == store)


def without_the_store(dashboard: dict[str, Any], store: str) -> dict[str, Any]:
    """The dashboard without what it asks the store, and on Log lines without the links that ask anything else."""
    rest = deepcopy(dashboard)
    for panel in asking(rest, store):
        del panel["datasource"], panel["targets"]
        panel["options"].pop("displayedFields", None)
    if rest["uid"] == "log-lines":
        rest["links"] = [each for each in rest["links"] if each["type"] != "link"]
        variables = [each for each in rest["templating"]["list"] if each["name"] not in OUTSIDE]
        rest["templating"]["list"] = variables
        (service,) = (each for each in variables if each["name"] == "service")
        assert service.pop("datasource")["uid"] == store
        del service["query"], service["allValue"]
    return rest


def test_both_stores_have_the_same_dashboards():
    assert set(IN_ELASTICSEARCH) == set(IN_LOKI) == set(TITLES)
    assert not EVERYWHERE.keys() & IN_LOKI.keys(), "Grafana refuses a uid that two files have"


@pytest.mark.parametrize("uid", TITLES)
def test_a_dashboard_is_the_same_for_both_but_for_what_it_asks_the_store(uid):
    usual, other = (without_the_store(BY_STORE[store][uid], store) for store in BY_STORE)
    assert usual == other
    assert "elasticsearch" not in json.dumps(other) and "loki" not in json.dumps(other)


@pytest.mark.parametrize("uid", TITLES)
@every_store
def test_grafanas_own_model_reads_it_and_each_target_asks_its_store(store, uid):
    dashboard = BY_STORE[store][uid]
    assert Dashboard.from_json(dashboard).uid == uid
    asked = list(asking(dashboard, store))
    assert len(asked) == {"service": 1, "log-lines": 7}[uid]
    for panel in asked:
        (target,) = panel["targets"]
        assert target["datasource"] == panel["datasource"] == {"type": store, "uid": store}
        assert panel["type"] in ("logs", "timeseries")
        assert panel["description"].endswith(".")


@pytest.mark.parametrize("uid", [*EVERYWHERE, *RUNBOOKS, "service"])
def test_no_other_dashboard_names_a_store_or_what_shows_it(uid):
    for of_store in BY_STORE.values():
        dashboard = (EVERYWHERE | RUNBOOKS | of_store)[uid]
        links = "\n".join(re.findall(r'"url": "([^"]+)"', json.dumps(dashboard)))
        variables = {each["name"]: each["query"] for each in dashboard["templating"]["list"]}
        assert not re.search("kibana|elasticsearch|loki|5601", links)
        assert not variables.keys() & {"kibana", "elasticsearch", "loki"}


def links_to_lines() -> Iterator[tuple[str, str]]:
    """Every link to Log lines but those in texts: where it is, and its URL."""
    for uid, dashboard in (EVERYWHERE | RUNBOOKS | IN_ELASTICSEARCH).items():
        for url in re.findall(r'"url": "([^"]+)"', json.dumps(dashboard)):
            if url.startswith("/d/log-lines"):
                yield uid, url


def test_a_link_to_the_lines_of_a_service_sets_the_variable_and_keeps_the_time_range():
    found, names = set(links_to_lines()), {each.name for each in SERVICES}
    assert {uid for uid, _ in found} == {"overview", "business", "slo", "telemetry", "service", *RUNBOOKS}
    for uid, url in found:
        on_top = [each for each in (EVERYWHERE | RUNBOOKS | IN_ELASTICSEARCH)[uid]["links"] if each.get("url") == url]
        asked = re.fullmatch(r"/d/log-lines\?var-service=(.+?)(&\$\{__url_time_range\})?", url)
        assert asked, url
        assert asked[1] in ("${job}", "${__field.labels.job}", "${__value.text}", *names)
        assert on_top[0]["keepTime"] is True if on_top else asked[2]


def destinations(store: str) -> dict[str, dict[str, Any]]:
    """The links from a trace id to its lines, by what has the trace id."""
    sources = {uid: source["jsonData"] for uid, source in SOURCES[store].items()}
    (pattern,) = json.loads((DEV / "jaeger/ui.json").read_text())["linkPatterns"]
    of_line = sources[store]["dataLinks" if store == "elasticsearch" else "derivedFields"]
    found = {"an exemplar": sources["prometheus"]["exemplarTraceIdDestinations"], "a line": of_line}
    for trace, _ in found.values():
        assert (trace["urlDisplayLabel"], trace["datasourceUid"]) == ("Trace", "jaeger")
    in_jaeger = {"url": pattern["url"].replace("#{traceID}", "$${__value.raw}"), "urlDisplayLabel": None}
    return {name: lines for name, (_, lines) in found.items()} | {"a page of Jaeger": in_jaeger}


@every_store
def test_a_trace_id_leads_to_the_panel_of_its_lines_among_all_that_are_kept(store):
    variables = {each["name"] for each in BY_STORE[store]["log-lines"]["templating"]["list"]}
    (panel,) = (each for each in panels(BY_STORE[store]["log-lines"]) if each["title"] == log_stores.TRACE.title)
    for name, link in destinations(store).items():
        url = urlsplit(link["url"])
        port = stack_settings.DEFAULTS["GRAFANA_PORT"]
        assert url.netloc == (f"localhost:{port}" if name == "a page of Jaeger" else "")
        assert link["urlDisplayLabel"] in ("Log lines of this trace", None)
        assert "datasourceUid" not in link
        assert url.path == "/d/log-lines"
        assert {key: values for key, (values,) in parse_qs(url.query).items()} == {
            "var-trace_id": "$${__value.raw}",
            "from": f"now-{KEPT}",
            "to": "now",
            "viewPanel": f"panel-{panel['id']}",
        }
        assert {key.removeprefix("var-") for key in parse_qs(url.query) if key.startswith("var-")} <= variables
    assert panel["options"]["sortOrder"] == "Ascending"


def test_the_data_sources_are_the_same_but_for_the_store_and_the_question_of_a_span():
    usual, other = (deepcopy(SOURCES[store]) for store in BY_STORE)
    asked = {}
    for store, sources in (("elasticsearch", usual), ("loki", other)):
        assert sources.pop(store)["type"] == store
        lines = sources["jaeger"]["jsonData"]["tracesToLogsV2"]
        assert lines.pop("datasourceUid") == store
        asked[store] = lines.pop("query")
    assert usual == other
    assert asked == {
        "elasticsearch": 'trace_id:"$${__trace.traceId}"',
        "loki": '{service_name=~".+"} | trace_id="$${__trace.traceId}"',
    }
    loki = yaml.safe_load((DEV / "loki/loki.yaml").read_text())
    assert SOURCES["loki"]["loki"]["url"] == f"http://loki:{loki['server']['http_listen_port']}"
    assert "localhost" not in json.dumps(SOURCES)


def test_grafana_reads_dashboards_from_the_same_folders_with_either_store():
    usual, other = ((folder / "dashboards/all.yml").read_text() for folder in FOLDERS.values())
    assert usual == other
    providers = {each["name"]: each for each in yaml.safe_load(usual)["providers"]}
    paths = {name: each["options"]["path"] for name, each in providers.items()}
    assert paths["log-lines"] == "/etc/grafana/provisioning/log-lines"
    assert providers["log-lines"]["folderUid"] == providers["all-erp"]["folderUid"]


def test_the_links_out_of_grafana_use_the_default_ports_of_the_stack():
    ports = stack_settings.DEFAULTS
    assert {
        "jaeger": f"http://localhost:{ports['JAEGER_UI_PORT']}",
        "kibana": f"http://localhost:{ports['KIBANA_PORT']}",
    } == OUTSIDE
    for uid in {"service", *RUNBOOKS}:
        variables = {each["name"]: each["query"] for each in (IN_LOKI | RUNBOOKS)[uid]["templating"]["list"]}
        assert variables["jaeger"] == OUTSIDE["jaeger"]


def on_top(store: str) -> dict[str, str]:
    """The links at the top of Log lines to where anything can be asked."""
    return {each["title"]: each["url"] for each in BY_STORE[store]["log-lines"]["links"] if each["type"] == "link"}


def filled_in(url: str) -> str:
    """A link with what Grafana writes for the variables of its question."""
    return url.replace("${service:pipe}", "auth-service|budget.service").replace("${trace_id}", "4bf9")


def test_what_a_line_in_elasticsearch_is_shown_by_are_fields_that_lines_have():
    mapped = json.loads((DEV / "elasticsearch/template.json").read_text())["template"]["mappings"]["properties"]
    names = {
        f"{name}.{inner}" if inner else name
        for name, field in mapped.items()
        for inner in field.get("properties", {"": None})
    }
    for board in IN_ELASTICSEARCH.values():
        for panel in (each for each in asking(board, "elasticsearch") if each["type"] == "logs"):
            assert {"service", "message"} < set(panel["options"]["displayedFields"]) <= names


def test_kibana_is_asked_as_the_panel_asks():
    pages = on_top("elasticsearch")
    asked = {title: re.search(r"language:lucene,query:'(.+?)'", url) for title, url in pages.items()}
    assert {title: found and found[1] for title, found in asked.items()} == {
        "Service in Kibana": log_stores.LINES.lucene.replace(":regex", ":pipe"),
        "Trace in Kibana": log_stores.TRACE.lucene,
    }
    for url in pages.values():
        assert url.startswith("${kibana}/app/discover#/?_g=(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))")
    variables = {each["name"]: each["query"] for each in IN_ELASTICSEARCH["log-lines"]["templating"]["list"]}
    assert variables["kibana"] == OUTSIDE["kibana"]


def test_no_link_has_what_grafana_changes_when_it_cleans_one():
    """Some versions of it decode a link: a backslash is then a slash, and a space or a plus sign ends or changes the question."""
    for url in (url for store in BY_STORE for url in on_top(store).values()):
        filled = filled_in(re.sub(r"\$\{(kibana|__)[^}]*\}", "", url))
        assert "$" not in filled
        assert not re.search(r"[\\+]|%2B|%5C", filled)
    for url in on_top("elasticsearch").values():
        assert not re.search(r'[\s"]', url)
    for store in BY_STORE:
        (service,) = (e for e in BY_STORE[store]["log-lines"]["templating"]["list"] if e["name"] == "service")
        assert not re.search(r"[\\+&#%\s]", service["allValue"])
        assert re.fullmatch(service["allValue"], "a-service-that-nobody-knows")


def test_loki_is_asked_in_explore_as_the_panel_asks():
    titles = {"Service in Explore": log_stores.LINES, "Trace in Explore": log_stores.TRACE}
    pages = on_top("loki")
    assert pages.keys() == titles.keys()
    for title, question in titles.items():
        assert "%24" not in pages[title], "Grafana does not fill in a variable whose dollar sign is encoded"
        filled = filled_in(pages[title])
        pane = json.loads(parse_qs(urlsplit(filled).query)["panes"][0])["left"]
        (query,) = pane["queries"]
        assert query["datasource"]["uid"] == pane["datasource"] == "loki"
        wanted = question.logql.replace("$service", "auth-service|budget.service").replace("${trace_id}", "4bf9")
        assert query["expr"] == wanted.replace(".+", "..*").replace('"', "`")
        assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
        assert unquote(unquote(filled)).count("{service_name=~") == 1


def test_lokis_questions_name_labels_and_fields_that_a_line_has():
    limits = yaml.safe_load((DEV / "loki/loki.yaml").read_text())["limits_config"]["otlp_config"]
    everything = [*limits["resource_attributes"]["attributes_config"], *limits["log_attributes"]]
    labels = {
        name.replace(".", "_") for each in everything if each["action"] == "index_label" for name in each["attributes"]
    }
    beside = {
        "trace_id",
        *re.findall(r"\b(?:tenant|user|request)_id\b", (DEV / "otel-collector/to-loki.yaml").read_text()),
    }
    template = json.loads((DEV / "elasticsearch/template.json").read_text())["template"]["mappings"]["properties"]
    in_json = {
        f"{name}_{inner}" if inner else name
        for name, field in template.items()
        for inner in field.get("properties", {"": None})
    }
    exprs = [panel["targets"][0]["expr"] for board in IN_LOKI.values() for panel in asking(board, "loki")]
    assert len(exprs) == 8
    for expr in exprs:
        selector, _, stages = expr.partition("}")
        assert set(re.findall(r"(\w+)=", selector)) <= labels
        assert set(re.findall(r"by \((\w+)\)", expr)) <= labels
        before, _, after = re.sub(r"line_format `.+`", "", stages).partition("| json")
        assert set(re.findall(r"\b(\w+) ?(?:[!=]~?|>=) ?\S", before)) <= beside
        assert set(re.findall(r"\b(\w+) ?(?:[!=]~?|>=) ?\S", after)) <= in_json | labels
        shown = set(re.findall(r"\.(\w+)", "".join(re.findall(r"line_format `(.+)`", stages))))
        assert shown <= in_json | labels


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.title)
def test_how_an_id_begins_is_asked_of_loki_from_its_first_letter_on(question):
    """Loki takes a filter by `a.*` for one that looks for `a` anywhere, but one by `^a.*` at its word."""
    assert re.findall(r'=~"([^"]*)\$\{\w+\}\.\*"', question.logql) in ([], ["^"])


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.title)
def test_a_value_that_must_be_exact_is_asked_of_a_field_that_holds_it_whole(question):
    mapped = json.loads((DEV / "elasticsearch/template.json").read_text())["template"]["mappings"]["properties"]
    for name in re.findall(r"\b([a-z_.]+):", re.sub(r"\$\{\w+:regex\}", "", question.lucene)):
        field = mapped
        for part in name.split("."):
            field = field.get("properties", field.get("fields", field))[part]
        assert field["type"] in ("keyword", "integer"), name


def test_each_question_of_kibana_stands_in_the_readme_in_both_languages():
    searches = [json.loads(line) for line in (DEV / "kibana/saved-searches.ndjson").read_text().splitlines()]
    titles = {each["attributes"]["title"].removesuffix(", last hour") for each in searches}
    charts = json.loads((DEV / "kibana/dashboard.json").read_text())["panels"]
    asked = {each.title: each for each in QUESTIONS}
    assert asked.keys() - titles == {log_stores.LINES.title, log_stores.WARNINGS.title}
    assert titles <= asked.keys()
    assert {each["config"]["title"] for each in charts if each["type"] == "vis"} == {
        each.title for each in log_stores.COUNTS
    }
    for question in QUESTIONS:
        cells = (question.title, question.lucene, question.logql.removesuffix(" | json"))
        title, lucene, logql = (each.replace("|", r"\|") for each in cells)
        assert f"| {title} | `{lucene}` | `{logql}` |" in README
    counts = {panel["title"]: panel["targets"][0]["expr"] for panel in panels(IN_LOKI["log-lines"])}
    for count in log_stores.COUNTS:
        assert f"| {count.title} | the first, counted by `{count.field}` | `{counts[count.title]}` |" in README
