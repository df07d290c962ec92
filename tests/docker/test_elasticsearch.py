"""The real Elasticsearch accepts the set-up twice, stores every kind of document, and finds it as people search."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from stack.docker import engine

from tests.configs.test_elasticsearch import FIELDS
from tests.docker.images import ROOT, compose_service, image
from tests.fixtures.certificates import certificate
from tests.fixtures.golden_lines import DAY, ERROR, FILE, GOLDEN, HTTP, TRACE, at, line
from tests.fixtures.waiting import eventually

pipeline = pytest.importorskip("tests.fixtures.pipeline", exc_type=ImportError)


HAPROXY = re.search(r"image: (haproxy:\S+)", (ROOT / "dev-environment/haproxy/compose.yml").read_text())[1]
INSISTS = """
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
userlist people
    user elastic insecure-password {password}
frontend secured
    bind :9200 ssl crt /secured/certificate/certificate.pem
    http-request auth unless {{ http_auth(people) }}
    http-request return status 200 content-type application/json string "{{}}" if {{ path_beg /_security/ }}
    default_backend elasticsearch
backend elasticsearch
    server elasticsearch elasticsearch:9200
"""


@pytest.fixture(scope="module")
def search(
    elasticsearch: tuple[httpx.Client, str], set_up_elasticsearch: Callable[..., str]
) -> Callable[[str], list[Any]]:
    """Search the documents of the golden lines by a Lucene query, as Grafana does."""
    client, _ = elasticsearch
    set_up_elasticsearch()
    lines = []
    for golden in GOLDEN:
        for index, identity, document in pipeline.documents(golden.line, FILE if "file" in golden.by else None):
            lines += [json.dumps({"create": {"_index": index, "_id": identity}}), json.dumps(document)]
    answer = client.post(
        "/_bulk?refresh=true", content="\n".join([*lines, ""]), headers={"Content-Type": "application/x-ndjson"}
    ).json()
    refused = [item["create"]["error"] for item in answer["items"] if "error" in item["create"]]
    assert refused == []

    def find(query: str, **more: Any) -> list[Any]:
        body = {"query": {"query_string": {"query": query}}, "size": 100, **more}
        return client.post("/logs-*/_search", json=body).raise_for_status().json()["hits"]["hits"]

    return find


def test_the_set_up_can_run_again_and_says_what_it_did(set_up_elasticsearch):
    set_up_elasticsearch()
    said = set_up_elasticsearch()
    assert "replaced the retention policy" in said
    assert "replaced the index template" in said
    assert "a new index such as logs-auth-service-2026.01.31 follows both" in said


PASSWORD = 'a "word" with \\ in it'


@pytest.fixture
def secured(
    docker: Callable[..., str], elasticsearch: tuple[httpx.Client, str], tmp_path: Path
) -> Iterator[tuple[str, ...]]:
    """The options of a set-up by TLS and with a login, which HAProxy insists on: the image may have no security of its own."""
    _, network = elasticsearch
    own = certificate(tmp_path / "certificate", "secured")
    for each in (tmp_path, own):  # for the users of the images
        each.chmod(0o755)
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"').replace(" ", "\\ ")
    (tmp_path / "haproxy.cfg").write_text(INSISTS.format(password=quoted))
    mounted = ("-v", f"{tmp_path}:/secured:ro")
    name = f"{network}-secured"
    try:
        docker("run", "-d", "--name", name, "--network", network, "--network-alias", "secured", *mounted,
               HAPROXY, "haproxy", "-f", "/secured/haproxy.cfg")  # fmt: skip
        yield (
            *mounted,
            "-e",
            "ES_HOSTS=https://secured:9200",
            "-e",
            "ES_USERNAME=elastic",
            "-e",
            "ES_CA=/secured/certificate/certificate.pem",
        )
    finally:
        docker("rm", "-f", "-v", name)


def test_the_set_up_logs_in_where_it_has_to_and_makes_the_user_who_sends_lines_last(secured, set_up_elasticsearch):
    """HAProxy answers for the users, which the image may not have."""
    writer = ("-e", "WRITER_USERNAME=log-writer", "-e", "WRITER_PASSWORD=secret")
    reader = ("-e", "READER_USERNAME=grafana", "-e", "READER_PASSWORD=another secret")
    said = set_up_elasticsearch(*secured, "-e", f"ES_PASSWORD={PASSWORD}", *writer, *reader).splitlines()
    assert "follows both" in said[-5]
    assert "role of who reads lines (_security/role/log-reader)" in said[-4]
    assert "user who reads lines (_security/user/grafana)" in said[-3]
    assert "role of who sends lines (_security/role/log-writer)" in said[-2]
    assert "user who sends lines (_security/user/log-writer)" in said[-1]
    with pytest.raises(subprocess.CalledProcessError) as failure:
        set_up_elasticsearch(*secured, "-e", "ES_PASSWORD=another one")
    assert "401" in failure.value.stderr


def test_the_set_up_fails_when_another_template_wins(elasticsearch, set_up_elasticsearch):
    client, _ = elasticsearch
    client.put("/_index_template/rival", json={"index_patterns": ["logs-*"], "priority": 900}).raise_for_status()
    try:
        with pytest.raises(subprocess.CalledProcessError) as failure:
            set_up_elasticsearch()
    finally:
        client.delete("/_index_template/rival").raise_for_status()
    assert "another index template wins" in failure.value.stderr


def test_an_index_follows_the_template_and_the_policy(elasticsearch, search):
    client, _ = elasticsearch
    answer = client.get(f"/logs-auth-service-{DAY}").json()[f"logs-auth-service-{DAY}"]
    settings = answer["settings"]["index"]
    assert settings["lifecycle"] == {"name": "app-logs", "parse_origination_date": "true"}
    assert (settings["number_of_replicas"], settings["auto_expand_replicas"]) == ("0", "0-1")
    assert client.get("/_ilm/policy/app-logs").json()["app-logs"]["policy"]["phases"]["delete"]["min_age"] == "7d"
    assert client.get("/_cluster/health/logs-*?wait_for_status=green&timeout=10s").json()["status"] == "green"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('service.keyword:"auth-service" AND level.keyword:"error"', {"login failed", "capitals", "winston", "pino", "gelf"}),
        (f'trace_id:"{TRACE}"', {"request handled", "ecs nested", "ecs dotted"}),
        (f'trace.id:"{TRACE}"', {"request handled", "ecs nested", "ecs dotted"}),
        ("http.status_code:[200 TO 299] AND http.client_ip:\"10.0.0.0/8\"", {"request handled"}),
        ("error.type:ValueError AND error.message:account", {"login failed"}),
        ("duration_ms:>3", {"request handled"}),
        ("message_json.order:7", {' {"order": 7}'}),
        ("tags:billing", {"ecs nested", "log4j"}),
        ("extra.context.name:Users", {'{"statusCode":401}'}),
        ("message:승인", {"예산 승인 ✓"}),
    ],
)  # fmt: skip
def test_people_find_what_they_look_for(search, query, found):
    assert {hit["_source"]["message"] for hit in search(query)} == found


def test_what_happened_within_a_millisecond_stays_in_order(elasticsearch, search):
    client, _ = elasticsearch
    trace = uuid4().hex
    for microsecond in (124, 123, 122):
        written = line(f"step {microsecond}", trace_id=trace, timestamp=at(f"05:37:21.500{microsecond}Z"))
        ((index, identity, document),) = pipeline.documents(written, FILE)
        client.put(f"/{index}/_create/{identity}?refresh=true", json=document).raise_for_status()
    steps = [hit["_source"]["message"] for hit in search(f"trace_id:{trace}", sort=[{"timestamp": "asc"}])]
    assert steps == ["step 122", "step 123", "step 124"]


def test_a_line_that_was_stored_is_not_stored_again(elasticsearch, search):
    client, _ = elasticsearch
    ((index, identity, document),) = pipeline.documents(GOLDEN[0].line, None)
    assert client.put(f"/{index}/_create/{identity}", json=document).status_code == 409


def test_every_field_of_the_searches_and_the_dashboard_can_be_counted_or_shown(elasticsearch, search):
    client, _ = elasticsearch
    known = client.get("/logs-*/_field_caps?fields=*").json()["fields"]
    assert set(known) >= FIELDS
    assert all(
        next(iter(known[name].values()))["aggregatable"] for name in ("service.keyword", "level.keyword", "trace_id")
    )


def test_a_free_field_has_room_for_whatever_it_holds(elasticsearch, search):
    client, _ = elasticsearch
    values = [True, 7, "seven", 7.5, {"a": 1}, [1, "b"], [{"a": 1}], "x" * 40_000, 10**30]
    for first in values:
        name = f"free{values.index(first)}"
        for value in (first, *values):
            ((index, identity, document),) = pipeline.documents(
                line(
                    f"{name} {value}", **{name: value, f"{name}_id": value, f"{name}_ms": value}, http=HTTP, error=ERROR
                )
            )
            answer = client.put(f"/{index}/_create/{identity}?refresh=true", json=document)
            assert answer.status_code in (201, 409), answer.text
        assert len(search(f"message:{name}")) == len(values)


def test_a_dead_letter_is_a_string_that_no_mapping_rejects(elasticsearch, search):
    client, _ = elasticsearch
    index = f"/logs-dead-letter-{DAY}"
    for letter in ('{"a[b]": 1}', "x" * 1_000_000, '{"a":' * 900, "\x00"):
        document = {"service": "dead-letter", "level": "error", "message": letter, "error": {"message": "why"}}
        assert client.post(f"{index}/_doc?refresh=true", json=document | {"any": {"thing": 1}}).status_code == 201
    mappings = client.get(index).json()[index[1:]]["mappings"]
    assert mappings["dynamic"] == "false"
    assert "any" not in mappings["properties"]


def test_the_exporter_counts_the_documents_of_each_index(docker, elasticsearch, search):
    client, network = elasticsearch
    command = compose_service("elasticsearch-exporter")["command"]
    name = docker(
        "run", "-d", "--rm", "--network", network, "-p", "127.0.0.1::9114", image("elasticsearch-exporter"), *command
    )
    try:
        address = docker("port", name, "9114/tcp")

        def documents() -> float:
            text = httpx.get(f"http://{address}/metrics", timeout=10).raise_for_status().text
            counts = re.findall(r'^elasticsearch_indices_docs_primary\{.*index="logs-.*\} (\S+)', text, re.MULTILINE)
            return sum(map(float, counts))

        stored = client.get("/logs-*/_count").json()["count"]
        eventually(lambda: documents() == stored, 60, "the exporter's documents are not those of the indices")
    finally:
        docker("rm", "-f", name)


def test_what_was_one_of_three_nodes_is_known_and_does_not_start_alone(docker, monkeypatch):
    volume, data = f"all-erp-test-{uuid4().hex[:8]}", "/usr/share/elasticsearch/data"
    monkeypatch.setattr(engine, "project", lambda: {"volumes": {"elasticsearch": {"name": volume}}})
    setup = f"{ROOT}/dev-environment/elasticsearch:/setup:ro"
    node = ("-v", f"{volume}:{data}", "-v", setup, "-e", "node.name=elasticsearch", "--network", "none")

    def is_known() -> bool:
        return engine.volume_has("elasticsearch", "one-of-three", image("elasticsearch"))

    assert not is_known()
    docker("volume", "create", volume)
    try:
        assert not is_known()
        docker("run", "--rm", *node, "--entrypoint", "touch", image("elasticsearch"), f"{data}/one-of-three")
        assert is_known()
        with pytest.raises(subprocess.CalledProcessError) as failure:
            docker("run", "--rm", *node, "--entrypoint", "bash", image("elasticsearch"), "/setup/start.sh")
        assert "the data is that of one of three nodes" in failure.value.stderr
    finally:
        docker("volume", "rm", "--force", volume)
