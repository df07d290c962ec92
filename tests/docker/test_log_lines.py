"""Each question of Grafana's log lines finds the lines that it is for, and no others, in a real Elasticsearch and a real Loki."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.configs.dashboards import IN_ELASTICSEARCH, IN_LOKI, in_logql, in_lucene, panels
from tests.docker.images import image
from tests.docker.official import official
from tests.docker.own_stack import Stack
from tests.fixtures.golden_lines import HTTP, at, line
from tests.fixtures.waiting import eventually

pipeline = pytest.importorskip("tests.fixtures.pipeline", exc_type=ImportError)

TRACE, ALIKE = "4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6ffffffffffffffff"
USER, ANOTHER = "0198c1f2-3a4b-7c5d-8e6f-001122334455", "0198c1f2-ffff-7c5d-8e6f-001122334455"
WRITTEN = [
    line("handled", trace_id=TRACE, user_id=USER, http=HTTP),
    line("refused", trace_id=TRACE, user_id=USER, http={**HTTP, "status_code": 404}),
    line("broken", trace_id=ALIKE, user_id=ANOTHER, level="error", service="budget-service"),
    line("failed for the user", user_id=USER, level="error", service="budget-service"),
    line("slow", level="warning", service="budget-service"),
    line("lost", level="critical", service="budget-service-2"),
    line("dotted", service="budget.service"),
    line("dashed", service="budget-x-service", level="debug"),
    line("of nobody that is known", service="a-cron-job", level="error"),
    line("without a level", service="a-cron-job", level=None),
]
ALL = {json.loads(each)["message"] for each in WRITTEN} | {"no JSON at all"}
SERVICES = {"auth-service"} | {json.loads(each)["service"] for each in WRITTEN}
NOTHING_CHOSEN: dict[str, str | list[str]] = {"trace_id": "", "user_id": "", "job": "auth-service"}
Ask = Callable[..., dict[str, Any]]


def every_service(dashboards: dict[str, Any]) -> dict[str, Any]:
    """The variable of the services on Log lines."""
    (variable,) = (e for e in dashboards["log-lines"]["templating"]["list"] if e["name"] == "service")
    return variable


def target(dashboards: dict[str, Any], title: str) -> dict[str, Any]:
    """What a panel asks."""
    (asked,) = (each["targets"] for board in dashboards.values() for each in panels(board) if each["title"] == title)
    return asked[0]


def chosen_of(dashboards: dict[str, Any], chosen: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    """The variables, of which only some are chosen."""
    return NOTHING_CHOSEN | {"service": every_service(dashboards)["allValue"]} | chosen


@pytest.fixture(scope="module")
def ask(elasticsearch: tuple[httpx.Client, str], set_up_elasticsearch: Callable[..., str]) -> Ask:
    """The answer to a Lucene query about the lines, asked as Grafana's data source does."""
    client, _ = elasticsearch
    set_up_elasticsearch()
    lines = []
    for written in [*WRITTEN, "no JSON at all"]:
        for index, identity, document in pipeline.documents(written, "/var/log/app/auth-service/combined.log"):
            lines += [json.dumps({"create": {"_index": index, "_id": identity}}), json.dumps(document)]
    answer = client.post(
        "/_bulk?refresh=true", content="\n".join([*lines, ""]), headers={"Content-Type": "application/x-ndjson"}
    ).json()
    assert [item["create"]["error"] for item in answer["items"] if "error" in item["create"]] == []

    def asked(query: str, **more: Any) -> dict[str, Any]:
        since = {"range": {"@timestamp": {"gte": at("00:00:00Z")}}}
        lucene = {"query_string": {"query": query, "analyze_wildcard": True}}
        body = {"query": {"bool": {"filter": [since, lucene]}}, "size": 100, **more}
        return client.post("/logs-*/_search", json=body).raise_for_status().json()

    return asked


LINES = "Lines of the chosen services"
ERRORS = {"broken", "failed for the user", "lost", "of nobody that is known"}


QUESTIONS: list[tuple[str, dict[str, str | list[str]], set[str]]] = [
    (LINES, {}, ALL),
    (LINES, {"service": ["auth-service"]}, {"handled", "refused", "no JSON at all"}),
    (
        LINES,
        {"service": ["budget-service", "a-cron-job"]},
        {"broken", "failed for the user", "slow", "of nobody that is known", "without a level"},
    ),
    (LINES, {"service": ["budget.service"]}, {"dotted"}),
    (LINES, {"service": ["budget-x-service"]}, {"dashed"}),
    ("Errors of all services", {"service": ["auth-service"]}, ERRORS),
    ("Errors of one service", {"service": ["budget-service"]}, {"broken", "failed for the user"}),
    ("Errors of one service", {"service": ["auth-service"]}, set()),
    ("Errors of one service", {}, ERRORS),
    ("One trace", {"trace_id": TRACE, "service": ["budget-service"]}, {"handled", "refused"}),
    ("One trace", {"trace_id": TRACE[:8]}, {"handled", "refused", "broken"}),
    ("One trace", {"trace_id": TRACE[8:]}, set()),
    ("One trace", {}, {"handled", "refused", "broken"}),
    ("What failed for one user", {"user_id": USER}, {"refused", "failed for the user"}),
    ("What failed for one user", {"user_id": USER[:8]}, {"refused", "failed for the user", "broken"}),
    ("What failed for one user", {}, {"refused", "failed for the user", "broken"}),
    ("Warnings and errors", {"job": "budget-service"}, {"broken", "failed for the user", "slow"}),
    ("Warnings and errors", {"job": "budget-service-2"}, {"lost"}),
    ("Warnings and errors", {"job": "auth-service"}, set()),
]


COUNTS: list[tuple[str, dict[str, str | list[str]], dict[str, int]]] = [
    ("Lines by level", {}, {"info": 3, "warning": 1, "error": 3, "critical": 1, "debug": 1, "none": 2}),
    ("Lines by level", {"service": ["a-cron-job"]}, {"error": 1, "none": 1}),
    (
        "Lines by service",
        {},
        {
            "auth-service": 3,
            "budget-service": 3,
            "budget-service-2": 1,
            "budget.service": 1,
            "budget-x-service": 1,
            "a-cron-job": 2,
        },
    ),
]

every_question = pytest.mark.parametrize(("title", "chosen", "wanted"), QUESTIONS)
every_count = pytest.mark.parametrize(("title", "chosen", "wanted"), COUNTS)


def test_every_panel_is_asked_here():
    for dashboards, store in ((IN_ELASTICSEARCH, "elasticsearch"), (IN_LOKI, "loki")):
        asking = [e["title"] for board in dashboards.values() for e in panels(board) if e["datasource"]["uid"] == store]
        assert set(asking) == {title for title, *_ in (*QUESTIONS, *COUNTS)}


@every_question
def test_elasticsearch_finds_the_lines_that_a_question_is_for(ask, title, chosen, wanted):
    query = in_lucene(target(IN_ELASTICSEARCH, title)["query"], **chosen_of(IN_ELASTICSEARCH, chosen))
    assert {hit["_source"]["message"] for hit in ask(query)["hits"]["hits"]} == wanted


@every_count
def test_elasticsearch_counts_the_lines(ask, title, chosen, wanted):
    asked = target(IN_ELASTICSEARCH, title)
    terms, over_time = asked["bucketAggs"]
    settings = terms["settings"]
    by_value = {"field": terms["field"], "size": int(settings["size"]), "missing": settings["missing"],
                "order": {settings["orderBy"]: settings["order"]}}  # fmt: skip
    times = {"date_histogram": {"field": over_time["field"], "fixed_interval": "1h", "min_doc_count": 0}}
    answer = ask(
        in_lucene(asked["query"], **chosen_of(IN_ELASTICSEARCH, chosen)),
        aggs={"2": {"terms": by_value, "aggs": {"3": times}}},
    )
    counted: Counter[str] = Counter()
    for bucket in answer["aggregations"]["2"]["buckets"]:
        counted[bucket["key"]] += sum(each["doc_count"] for each in bucket["3"]["buckets"])
    assert counted == wanted


def test_elasticsearch_offers_every_service(ask):
    asked = json.loads(every_service(IN_ELASTICSEARCH)["query"])
    assert asked.pop("find") == "terms"
    answer = ask("*", aggs={"1": {"terms": {**asked, "size": 500}}})
    assert {bucket["key"] for bucket in answer["aggregations"]["1"]["buckets"]} == SERVICES


class Loki:
    """A Loki, its Collector and the folder of the log files."""

    def __init__(self, stack: Stack, file: Path) -> None:
        self.stack = stack
        self.file = file

    def get(self, path: str, **parameters: Any) -> Any:
        """The `data` of an answer about the last two days."""
        answer = self.stack.get("LOKI_PORT", f"/loki/api/v1/{path}", since="48h", limit=1000, **parameters)
        assert answer["status"] == "success"
        return answer["data"]

    def lines(self, logql: str) -> list[str]:
        """The lines that a query shows."""
        return [line for stream in self.get("query_range", query=logql)["result"] for _, line in stream["values"]]


@pytest.fixture(scope="module")
def loki(docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    """The containers of the profile, which have read the lines."""
    official(docker, image("loki"))
    folder = tmp_path_factory.mktemp("loki")
    file = folder / "logs/auth-service/combined.log"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"{each}\n" for each in [*WRITTEN, "no JSON at all"]))
    volume = {"driver_opts": {"type": "none", "o": "bind", "device": str(folder / "logs")}}
    (folder / "logs.yml").write_text(json.dumps({"volumes": {"app-logs": volume}}))
    stack = Stack(folder, str(folder / "logs.yml"), LOG_SERVICES=",".join(SERVICES))
    try:
        stack.compose("up", "--detach", "otel-collector")
        made = Loki(stack, file)

        def arrived() -> bool:
            with suppress(httpx.HTTPError):
                return len(made.lines('{service_name=~".+"}')) == len(ALL)
            return False

        eventually(arrived, 90, "the lines have not arrived in Loki")
        yield made
    finally:
        stack.compose("--profile", "loki", "down", "--volumes", "--remove-orphans")


@every_question
def test_loki_finds_the_lines_that_a_question_is_for(loki, title, chosen, wanted):
    shown = loki.lines(in_logql(target(IN_LOKI, title)["expr"], **chosen_of(IN_LOKI, chosen)))
    assert {each for each in ALL if each in shown or any(f": {each} " in f"{one} " for one in shown)} == wanted
    assert len(shown) == len(wanted)


@every_count
def test_loki_counts_the_lines(loki, title, chosen, wanted):
    asked = in_logql(target(IN_LOKI, title)["expr"], **chosen_of(IN_LOKI, chosen)).replace("[5m]", "[48h]")
    found = loki.get("query", query=asked)["result"]
    assert {next(iter(each["metric"].values()), "none"): int(each["value"][1]) for each in found} == wanted


def test_loki_offers_every_service(loki):
    assert every_service(IN_LOKI)["query"] == "label_values(service_name)"
    assert set(loki.get("label/service_name/values")) == SERVICES


def test_loki_shows_a_line_by_its_fields_and_another_one_as_it_is(loki):
    shown = loki.lines(in_logql(target(IN_LOKI, LINES)["expr"], **chosen_of(IN_LOKI, {"service": ["auth-service"]})))
    assert {" ".join(each.split()) for each in shown} == {
        "auth-service UserController: handled GET /api/v1/users 200",
        "auth-service UserController: refused GET /api/v1/users 404",
        "no JSON at all",
    }


def test_loki_stores_a_line_that_comes_twice_only_once(loki):
    """A line without a time of its own has that of reading, and is another one each time."""
    loki.stack.compose("rm", "--stop", "--force", "otel-collector")
    how_far = "/otel-collector/receiver_filelog_"  # on the volume of file_storage
    loki.stack.compose("run", "--rm", "--no-deps", "--entrypoint", "rm", "loki-volumes", how_far)
    with loki.file.open("a") as file:
        file.write(line("the last one", service="auth-service") + "\n")
    loki.stack.compose("up", "--detach", "--no-deps", "otel-collector")
    eventually(
        lambda: loki.lines('{service_name="auth-service"} |= "the last one"'), 60, "the last line has not arrived"
    )
    counted = Counter(each for each in loki.lines('{service_name=~".+"}'))
    assert {each: number for each, number in counted.items() if number > 1} == {"no JSON at all": 2}


def test_loki_says_that_it_is_healthy(docker, loki):
    name = f"{loki.stack.name}-loki-1"
    eventually(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", name) == "healthy", 60, "it does not")
