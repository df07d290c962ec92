"""The Collector of a pod makes one document of every line, whatever is in it, and loses none beside one that is refused."""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.docker.images import ROOT, image
from tests.fixtures.golden_lines import DAY, ERROR, FILE, GOLDEN, HTTP, SPAN, TRACE, at, line
from tests.fixtures.strict import missing
from tests.fixtures.waiting import eventually

pipeline = pytest.importorskip("tests.fixtures.pipeline", exc_type=ImportError)

pytestmark = pytest.mark.timeout(900)

SHIPPED = ROOT / "dev-environment/kubernetes/watchers/elasticsearch"
MIB = 1024 * 1024
SECONDS = 180

Document = dict[str, Any]


class Shipper:
    """A Collector with the arguments and the environment of a pod's, and the documents that it has stored."""

    def __init__(self, logs: Path, client: httpx.Client, container: str) -> None:
        self._logs = logs
        self.client = client
        self.container = container

    def log(self) -> str:
        """What it has said."""
        command = ["docker", "logs", self.container]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout

    def write(self, *lines: str | bytes, file: str = "auth-service/combined.log") -> None:
        path = self._logs / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as opened:
            opened.write(b"".join(in_bytes(each) + b"\n" for each in lines))

    def stored(self, *lines: str | bytes) -> None:
        """Wait until each line is a document, and fail for one that is two."""
        found: dict[str, int] = {}

        def are_there() -> bool:
            self.client.post("/logs-*/_refresh").raise_for_status()
            found.update({identity(each): 0 for each in lines})
            for hit in self._of(list(found), 1000, _source=False):
                found[hit["_id"]] += 1
            return all(found.values())

        with suppress(pytest.fail.Exception):
            eventually(are_there, SECONDS)
        wrong = [f"{found[identity(each)]} of {each[:400]!r}" for each in lines if found[identity(each)] != 1]
        assert wrong == [], self.log()[-2000:]

    def documents(self, *lines: str | bytes) -> list[tuple[str, Document]]:
        """The document of each line, with its index, once it is there."""
        self.stored(*lines)
        ids = [identity(each) for each in lines]
        found = {hit["_id"]: (hit["_index"], hit["_source"]) for hit in self._of(ids, 10)}
        return [found[each] for each in ids]

    def _of(self, ids: list[str], at_a_time: int, **options: Any) -> Iterator[dict[str, Any]]:
        for start in range(0, len(ids), at_a_time):
            query = {"query": {"ids": {"values": ids[start : start + at_a_time]}}, "size": 2 * at_a_time}
            yield from self._search(query | options)

    def found(self, query: str) -> set[str]:
        """The ids of the documents that a Lucene query finds."""
        return {hit["_id"] for hit in self._search({"query": {"query_string": {"query": query}}, "size": 1000})}

    def _search(self, query: dict[str, Any]) -> list[Any]:
        answer = self.client.post("/logs-*/_search", json=query)
        if answer.status_code == 503:  # an index that is being made
            return []
        return answer.raise_for_status().json()["hits"]["hits"]

    def counted(self, *statuses: int) -> float:
        """How many documents Elasticsearch has answered with these statuses."""
        metrics = subprocess.check_output(["docker", "port", self.container, "8888/tcp"], text=True).strip()
        text = httpx.get(f"http://{metrics}/metrics").raise_for_status().text
        those = "|".join(map(str, statuses))
        name = rf'otelcol_elasticsearch_docs_processed_total{{.*http_response_status_code="(?:{those})".*}}'
        return sum(map(float, re.findall(rf"(?m)^{name} (\S+)$", text)))


def in_bytes(written: str | bytes) -> bytes:
    return written.encode() if isinstance(written, str) else written


def text_of(written: str | bytes) -> str:
    """What is kept of a line: its first MiB, with a replacement for what is no UTF-8, and without the end of a line of DOS."""
    return in_bytes(written)[:MIB].decode(errors="replace").removesuffix("\r")


def identity(written: str | bytes) -> str:
    return hashlib.sha256(text_of(written).encode()).hexdigest()


def collector(docker: Callable[..., str]) -> str:
    """An image of the Collector that has the exporter, as the official one does."""
    version = image("otel-collector").rpartition("/")[2]
    official, stand_in = image("otel-collector"), f"stand-in/{version}"
    for each in (official, stand_in):
        if docker("images", "--quiet", each) and "elasticsearch" in docker("run", "--rm", each, "components"):
            return each
    return missing(f"NOT RUN, there is neither {official} with its exporter to Elasticsearch, nor {stand_in}")


@pytest.fixture(scope="module")
def shipper(
    docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Shipper]:
    """The Collector on the network of an Elasticsearch that has been set up."""
    reference = collector(docker)
    client, network = request.getfixturevalue("elasticsearch")
    request.getfixturevalue("set_up_elasticsearch")()
    (container,) = yaml.safe_load((SHIPPED / "shipper.yaml").read_text())["spec"]["template"]["spec"]["initContainers"]
    generated = yaml.safe_load((SHIPPED / "kustomization.yaml").read_text())["configMapGenerator"]
    (literals,) = (each["literals"] for each in generated if each["name"] == "otel-collector-environment")
    logs, read_so_far = (tmp_path_factory.mktemp(each) for each in ("logs", "read-so-far"))
    logs.chmod(0o755)
    read_so_far.chmod(0o777)
    name = f"{network}-shipper"
    try:
        docker(
            "run", "-d", "--name", name, "--network", network, "-p", "127.0.0.1::8888", "--memory", "256m",
            *(part for each in literals for part in ("-e", each)), "-v", f"{logs}:/var/log/app:ro",
            "-v", f"{read_so_far}:/var/lib/otelcol", "-v", f"{ROOT}/dev-environment/otel-collector:/etc/otel-collector:ro",
            reference, *container["args"],
        )  # fmt: skip
        yield Shipper(logs, client, name)
    finally:
        docker("rm", "-f", "-v", name)


OF_OURS = [
    line("request handled", trace_id=TRACE, span_id=SPAN, request_id="r-1", tenant_id="t-1", user_id="u-1", http=HTTP, duration_ms=3.25),
    line("request refused", http=HTTP | {"status_code": 409}, duration_ms=3.0,
         error={"code": "conflict", "message": "no", "facts": {"available": "1.50", "missing": ["budget.read"], "unknown": []}}),
    line("login failed", level="error", error=ERROR),
    line("budget approved", event_id="e-1", amount="10.00", is_active=False, number=7, ratio=0.1, permissions=["a", "b"], roles=[]),
    line("예산 승인 ✓", name="\x00\t\u2028\"\\"),
    line(f"huge {'x' * 300_000}"),
    *(line("a round time", timestamp=at(f"05:37:21.{fraction}Z")) for fraction in ("000000", "120000", "100999", "000001")),
]  # fmt: skip


def test_a_line_of_our_services_is_the_document_that_logstash_makes_of_it(shipper):
    shipper.write(*OF_OURS)
    for each, (index, document) in zip(OF_OURS, shipper.documents(*OF_OURS), strict=True):
        ((of_logstash, _, made),) = pipeline.documents(each, FILE)
        assert (index, in_order(document)) == (of_logstash, in_order(made))


def in_order(document: Document) -> str:
    """A document as it is written, but for the order of its fields."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def holds(document: Document, written: str | bytes) -> None:
    """A document has all that its line says: as fields, or in the text of the message."""
    text = text_of(written)
    tags = set(document["tags"])
    if tags & {"_jsonparsefailure", "_fields_in_message"}:
        assert document["message"] == text
        return
    no_character = text.replace("\\ud800", "\ufffd")
    said = {name: value for name, value in json.loads(no_character).items() if name not in ("service", "tags")}
    if "timestamp" in said and "timestamp" not in document:
        assert document["extra"] == {"timestamp": said.pop("timestamp")}
    assert {name: document.get(name) for name in said} == said


def test_every_golden_line_is_one_document_that_has_all_of_it(shipper):
    lines = list(dict.fromkeys(each.line for each in GOLDEN if "file" in each.by))
    shipper.write(*lines)
    for each, (_, document) in zip(lines, shipper.documents(*lines), strict=True):
        holds(document, each)


ODD: list[str | bytes] = [
    *("7", "null", "true", "[]", '[{"a": 1}, {"b": 2}]', '"text"', "{", "{}", '{"": {}}', '{"a": 1} {"b": 2}', "  text  ", "{'a': 1}"),
    *(line("two") + after for after in (line("in one"), " text", "}", "]", ",", "\\", " 7")),
    line("braces in {text} of {a} line"),
    *('{"a":' * depth + "1" + "}" * depth for depth in (15, 25, 2_000, 12_000)),
    line("deep list", deep=json.loads("[" * 50 + "]" * 50)),
    line("many fields", service="system-service", **{f"field_of_{number}": number for number in range(1_500)}),
    line("a mebibyte " + "y" * (MIB - 400)),
    line("more " + "z" * 2 * MIB),
    line("controls " + "\x01" * 1_000),
    b"not \xff UTF-8",
    line("not UTF-8 inside").encode().replace(b"UTF-8", b"\xc3\x28 \xed\xa0\x80"),
    b"a NUL \x00 and others \x1b[31m\x7f",
    b"\xef\xbb\xbf" + line("after a byte order mark").encode(),
    line("carriage return") + "\r",
    line("half a pair").replace("half", "\\ud800 half"),
    line("twice").replace('"level": "info"', '"level": "info", "level": "error", "message": "once"'),
    *(line("a number", number=each) for each in (2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, [10**30], 1e300, 5e-324, -0.0, 1.0)),
    *(line("a clash", clash=each) for each in (7, "seven", True, None, 7.5, {"a": 1}, {}, {"0": 1}, [], [7], ["a"], [None], [[1]], [{}], [1, "a"], "x" * 40_000)),
    *(line("another clash", clash_ms=each, clash_id=each) for each in ({}, "seven", 7, {"a": {}}, False, [{"b": 1}])),
    *(
        line("of another type", **{name: each})
        for name in ("level", "environment", "trace_id", "tags", "duration_ms", "error", "http", "extra", "message_json", "log_id", "context")
        for each in (None, 7, 7.5, True, "text", "x" * 40_000, [], ["a"], [None], [1, "a"], {}, {"a": 1}, {"": 1}, {"a.b": 1}, {"a\x00": {"b": 1}})
    ),
    *(line(each) for each in (7, True, ["a"], [], {}, {"a": 1}, "", None)),
    *(line("inside", http=HTTP | {name: each}) for name in ("status_code", "client_ip", "other") for each in (None, "x", 10**12, {}, [1], {"a": 1})),
    *(line("inside", error=ERROR | {name: each}) for name in ("stack", "facts", "other") for each in (None, "x", 7, {}, [1], {"a": {"b": 1}}, {"": "x"}, {"x" * 40_000: 1})),
    *(line("a name", **{each: 1}) for each in ("", " ", ".", "a.b", "a..b", "_id", "_source", "_other", "@timestamp", "x" * 300, "이름", "a b", "a\x00b", "a|b", "(", "-a")),
    *(line("a time", timestamp=each) for each in ("2026-02-30T00:00:00Z", "05:37", "", 0, -1, 1e18, True, [at("05:37:21Z")], {}, f"{DAY}", "x" * 40_000)),
    *(line("a time", timestamp=at(each)) for each in ("05:37:21.123456789Z", "05:37:21", "05:37:21,5Z", "05:37:21.5+14:00", "24:00:00Z", "05:37:60Z")),
]  # fmt: skip


def test_no_line_is_lost_with_whatever_is_in_it(shipper):
    lines = list(dict.fromkeys(ODD))
    shipper.write(*lines)
    for each, (_, document) in zip(lines, shipper.documents(*lines), strict=True):
        holds(document, each)


def test_a_folder_with_letters_that_an_index_cannot_have_gets_one_all_the_same(shipper):
    nobodys = line("of nobody", service=None)
    shipper.write(nobodys, file="Night Jobs,1/combined.log")
    ((index, document),) = shipper.documents(nobodys)
    assert (index, document["service"], document["tags"]) == (
        f"logs-night-jobs-1-{DAY}",
        "night-jobs-1",
        ["night-jobs-1"],
    )


def test_lines_that_are_together_larger_than_a_request_may_be_are_documents_too(shipper):
    """Each takes six times its size as JSON, and the Collector reads up to a hundred at a time."""
    huge = [f"{number} ".encode() + b"\x01" * (MIB - 100) for number in range(30)]
    shipper.write(*huge, line("after them"))
    shipper.stored(*huge, line("after them"))


def test_more_lines_of_a_mebibyte_than_its_memory_has_room_for_arrive(shipper):
    huge = [f"{number} " + "y" * (MIB - 100) for number in range(150)]
    shipper.write(*huge, line("after those"))
    shipper.stored(*huge, line("after those"))
    out_of_memory = ["docker", "inspect", "-f", "{{.State.OOMKilled}} {{.State.Running}}", shipper.container]
    assert subprocess.check_output(out_of_memory, text=True).split() == ["false", "true"]


def test_no_line_is_lost_or_doubled_while_elasticsearch_is_away_and_the_collector_is_killed(
    shipper, docker, elasticsearch
):
    _, name = elasticsearch
    lines = [line(f"meanwhile {number}", filler="z" * 400) for number in range(6_000)]
    shipper.write(*lines[:2_000])
    docker("pause", name)
    shipper.write(*lines[2_000:4_000])
    docker("kill", shipper.container)
    docker("start", shipper.container)
    shipper.write(*lines[4_000:])
    docker("unpause", name)
    docker("kill", shipper.container)
    docker("start", shipper.container)
    shipper.stored(*lines)


def test_a_line_that_is_refused_is_counted_and_named_and_the_others_of_its_request_are_stored(shipper):
    index = f"logs-budget-service-{DAY}"
    shipper.client.put(f"/{index}", json={"mappings": {"dynamic": "strict"}}).raise_for_status()
    refused = line("refused", service="budget-service", order_number=7)
    others = [line(f"beside it {number}") for number in range(50)]
    shipper.write(*others[:25], refused, *others[25:])
    shipper.stored(*others)
    assert eventually(lambda: shipper.counted(400, 403, 404, 413), SECONDS, "it is not counted") == 1
    assert "strict_dynamic_mapping_exception" in shipper.log()
    assert index in shipper.log()


def test_what_became_the_message_is_found_by_its_words_and_what_did_not_by_its_field(shipper):
    odd = line("an order", level="error", order={"kind": "urgent"}, order_number="A-7", trace_id=TRACE)
    shipper.write(odd)
    shipper.stored(odd)
    for query in (
        "message:urgent",
        "order_number:A-7",
        f'level.keyword:"error" AND trace_id:{TRACE} AND message:urgent',
    ):
        assert shipper.found(query) == {identity(odd)}
