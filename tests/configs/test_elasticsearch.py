"""The index template maps every field that the services write, and Kibana's objects use only fields that it maps."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libs.observability.context import OWN_FIELDS

DEV = Path(__file__).parents[2] / "dev-environment"
TEMPLATE = json.loads((DEV / "elasticsearch/template.json").read_text())
PROPERTIES = TEMPLATE["template"]["mappings"]["properties"]
VIEW = json.loads((DEV / "kibana/data-view.json").read_text())["data_view"]
SEARCHES = [json.loads(text) for text in (DEV / "kibana/saved-searches.ndjson").read_text().splitlines()]
DASHBOARD = json.loads((DEV / "kibana/dashboard.json").read_text())


def fields(properties: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every field that a query can name, sub-fields such as `service.keyword` included."""
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from fields(mapping["properties"], f"{before}{name}.")
        else:
            yield f"{before}{name}"
            yield from (f"{before}{name}.{each}" for each in mapping.get("fields", ()))


FIELDS = set(fields(PROPERTIES))


def test_each_field_of_a_line_has_a_mapping_of_its_own():
    assert set(PROPERTIES) >= OWN_FIELDS
    assert set(PROPERTIES) >= {"trace_id", "span_id", "request_id", "tenant_id", "user_id"}
    assert set(PROPERTIES) >= {"http", "duration_ms", "error"}
    assert {"http.method", "http.route", "http.path", "http.status_code", "http.client_ip"} <= FIELDS
    assert {"error.type", "error.message", "error.stack"} <= FIELDS


def test_the_filters_that_people_know_work():
    assert {"service.keyword", "level.keyword", "@timestamp"} <= FIELDS
    assert {PROPERTIES[name]["type"] for name in ("trace_id", "span_id", "request_id", "tenant_id", "user_id")} == {
        "keyword"
    }


def test_the_template_wins_over_the_built_in_ones_and_makes_plain_indices():
    assert TEMPLATE["priority"] > 500  # the highest priority that Elastic's own packages use
    assert "data_stream" not in TEMPLATE
    (pattern,) = TEMPLATE["index_patterns"]
    glob = re.compile(re.escape(pattern).replace(r"\*", ".*"))
    assert glob.fullmatch("logs-auth-service-2026.11.23")
    assert glob.fullmatch("logs-dead-letter-2026.11.23")
    assert not glob.fullmatch("logs-nginx.access-default")  # another program's data stream


def test_dead_letters_have_an_index_that_maps_nothing_by_itself_and_wins_for_them():
    letters = json.loads((DEV / "elasticsearch/dead-letters.json").read_text())
    assert letters["priority"] > TEMPLATE["priority"]
    assert letters["template"]["mappings"]["dynamic"] is False
    mapped = letters["template"]["mappings"]["properties"]
    assert {name: PROPERTIES[name] for name in mapped if name != "error"} == {
        name: mapping for name, mapping in mapped.items() if name != "error"
    }
    assert (
        letters["template"]["settings"]["index"]["lifecycle"] == TEMPLATE["template"]["settings"]["index"]["lifecycle"]
    )


def test_no_keyword_is_longer_than_elasticsearch_takes():
    def keywords(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for mapping in properties.values():
            yield from keywords(mapping.get("properties", {}) | mapping.get("fields", {}))
            if mapping.get("type") in ("keyword", "flattened"):
                yield mapping

    assert all(mapping["ignore_above"] * 4 < 32_766 for mapping in keywords(PROPERTIES))


@pytest.mark.parametrize("file", ["template.json", "dead-letters.json"])
def test_an_index_has_a_copy_where_there_is_a_node_for_it(file):
    settings = json.loads((DEV / "elasticsearch" / file).read_text())["template"]["settings"]["index"]
    assert settings["auto_expand_replicas"] == "0-1"
    assert "number_of_replicas" not in settings


# Answers as Elasticsearch would, each question about shards by the next line of a file; a line `fails` is none.
CURL = """#!/bin/sh
case "$*" in *_cat/shards*) ;; *) exit 0 ;; esac
answer=$(head -n 1 {answers}) && sed -i 1d {answers}
[ "$answer" != fails ] || exit 22
printf "$answer"
"""


def test_one_node_is_left_alone_once_every_primary_shard_is_seen_on_it(tmp_path):
    not_yet = [
        "fails",
        "p elasticsearch-2",
        "p ",
        "p elasticsearch-3 -> 10.0.0.1 abc elasticsearch",
        "r x\\np elasticsearch-2",
    ]
    answers = tmp_path / "answers"
    for last in ("p elasticsearch  \\nr elasticsearch-2\\nr ", ""):
        answers.write_text("\n".join([*not_yet, last, "not asked for", ""]))
        for name, text in (("curl", CURL.format(answers=answers)), ("sleep", "#!/bin/sh\n")):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        script = DEV / "elasticsearch/alone.sh"
        done = subprocess.run(["bash", script], env=path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert answers.read_text() == "not asked for\n"


THREE = "elasticsearch,elasticsearch-2,elasticsearch-3"
PODS = "elasticsearch-0,elasticsearch-1,elasticsearch-2"


@pytest.mark.parametrize(
    ("said", "address", "settings"),
    [
        ({"node.name": "elasticsearch"}, "", {"discovery.type": "single-node"}),
        (
            {"node.name": "elasticsearch"},
            "10.0.0.2",
            {"discovery.seed_hosts": "elasticsearch", "cluster.initial_master_nodes": THREE},
        ),
        ({"node.name": "elasticsearch-2"}, "", {"discovery.seed_hosts": "elasticsearch"}),
        (
            {"node.name": "elasticsearch-0", "NODES": PODS, "SEED_HOSTS": "them"},
            "",
            {"discovery.seed_hosts": "them", "cluster.initial_master_nodes": PODS},
        ),
        ({"node.name": "elasticsearch-2", "NODES": PODS, "SEED_HOSTS": "them"}, "", {"discovery.seed_hosts": "them"}),
    ],
)
def test_only_the_first_of_several_nodes_begins_a_cluster(tmp_path, said, address, settings):
    for name, text in (("getent", f"echo {address}"), ("touch", ""), ("tini", "env")):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **said}
    script = ["bash", DEV / "elasticsearch/start.sh"]
    done = subprocess.run(script, env=given, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith(("discovery.", "cluster.")))
    assert found == settings


def test_an_index_lives_as_long_as_the_policy_says():
    settings = TEMPLATE["template"]["settings"]["index"]
    setup = (DEV / "elasticsearch/setup.sh").read_text()
    assert f"_ilm/policy/{settings['lifecycle']['name']} " in setup
    phases = json.loads((DEV / "elasticsearch/ilm.json").read_text())["policy"]["phases"]
    assert phases["delete"] == {"min_age": "7d", "actions": {"delete": {}}}
    # A daily index has no alias to roll over, and a read-only index would refuse lines that arrive late.
    actions = {action for phase in phases.values() for action in phase["actions"]}
    assert actions <= {"set_priority", "delete"}


def test_the_data_view_is_the_one_that_was_specified():
    assert (VIEW["title"], VIEW["timeFieldName"]) == ("logs-*", "@timestamp")
    assert VIEW["allowNoIndex"] is True
    assert set(VIEW["fieldFormats"]) <= FIELDS


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["id"])
def test_a_saved_search_uses_fields_that_exist_in_a_view_that_exists(search):
    attributes = search["attributes"]
    source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
    asked = set(re.findall(r"([\w.@]+) ?:", source["query"]["query"]))
    asked |= {each["meta"]["key"] for each in source["filter"]}
    assert asked | set(attributes["columns"]) | {name for name, _ in attributes["sort"]} <= FIELDS
    wanted = {source["indexRefName"], *(each["meta"]["indexRefName"] for each in source["filter"])}
    assert {(each["name"], each["id"]) for each in search["references"]} == {(name, VIEW["id"]) for name in wanted}
    assert attributes["timeRange"] == {"from": "now-1h", "to": "now"}
    assert attributes["timeRestore"] is True


def test_the_dashboard_uses_fields_and_objects_that_exist():
    text = json.dumps(DASHBOARD)
    asked = set(re.findall(r'"(?:field|field_name)": "([^"]+)"', text))
    asked |= {name for names in re.findall(r'"fields": \[([^\]]+)\]', text) for name in json.loads(f"[{names}]")}
    assert asked
    assert asked <= FIELDS
    known = {VIEW["id"], *(search["id"] for search in SEARCHES)}
    assert set(re.findall(r'"(?:ref_id|data_view_id)": "([^"]+)"', text)) <= known


def test_the_panels_of_the_dashboard_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["grid"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 48
        taken |= cells
