"""Each question of Grafana's log lines finds in the real Elasticsearch the lines that it is for, and no others."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.configs.dashboards import IN_ELASTICSEARCH, in_lucene, panels
from tests.fixtures.golden_lines import HTTP, at, line

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
VARIABLES = {each["name"]: each for each in IN_ELASTICSEARCH["log-lines"]["templating"]["list"]}
EVERY = VARIABLES["service"]["allValue"]
NOTHING_CHOSEN: dict[str, str | list[str]] = {"service": EVERY, "trace_id": "", "user_id": "", "job": "auth-service"}
PANELS = {each["title"]: each for dashboard in IN_ELASTICSEARCH.values() for each in panels(dashboard)}
Ask = Callable[..., dict[str, Any]]


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


def found(ask: Ask, title: str, **chosen: str | list[str]) -> set[str]:
    """The messages of the lines that a panel shows with these variables."""
    (target,) = PANELS[title]["targets"]
    hits = ask(in_lucene(target["query"], **(NOTHING_CHOSEN | chosen)))["hits"]["hits"]
    return {hit["_source"]["message"] for hit in hits}


ERRORS = {"broken", "failed for the user", "lost", "of nobody that is known"}


QUESTIONS: list[tuple[str, dict[str, str | list[str]], set[str]]] = [
    ("Lines of the chosen services", {}, ALL),
    ("Lines of the chosen services", {"service": ["auth-service"]}, {"handled", "refused", "no JSON at all"}),
    (
        "Lines of the chosen services",
        {"service": ["budget-service", "a-cron-job"]},
        {"broken", "failed for the user", "slow", "of nobody that is known", "without a level"},
    ),
    ("Lines of the chosen services", {"service": ["budget.service"]}, {"dotted"}),
    ("Lines of the chosen services", {"service": ["budget-x-service"]}, {"dashed"}),
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


@pytest.mark.parametrize(("title", "chosen", "wanted"), QUESTIONS)
def test_a_question_finds_the_lines_that_it_is_for(ask, title, chosen, wanted):
    assert found(ask, title, **chosen) == wanted


def test_every_panel_is_asked_here():
    asked = {title for title, _, _ in QUESTIONS}
    assert asked == {title for title, panel in PANELS.items() if panel["type"] == "logs"}


@pytest.mark.parametrize(
    ("title", "chosen", "wanted"),
    [
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
    ],
)
def test_the_lines_are_counted_by_each_value(ask, title, chosen, wanted):
    (target,) = PANELS[title]["targets"]
    terms, over_time = target["bucketAggs"]
    settings = terms["settings"]
    by_value = {"field": terms["field"], "size": int(settings["size"]), "missing": settings["missing"],
                "order": {settings["orderBy"]: settings["order"]}}  # fmt: skip
    times = {"date_histogram": {"field": over_time["field"], "fixed_interval": "1h", "min_doc_count": 0}}
    answer = ask(
        in_lucene(target["query"], **(NOTHING_CHOSEN | chosen)),
        aggs={"2": {"terms": by_value, "aggs": {"3": times}}},
    )
    counted: Counter[str] = Counter()
    for bucket in answer["aggregations"]["2"]["buckets"]:
        counted[bucket["key"]] += sum(each["doc_count"] for each in bucket["3"]["buckets"])
    assert counted == wanted


def test_the_services_to_choose_from_are_all_that_write(ask):
    asked = json.loads(VARIABLES["service"]["query"])
    assert asked.pop("find") == "terms"
    answer = ask("*", aggs={"1": {"terms": {**asked, "size": 500}}})
    names = {bucket["key"] for bucket in answer["aggregations"]["1"]["buckets"]}
    assert names == {
        "auth-service",
        "budget-service",
        "budget-service-2",
        "budget.service",
        "budget-x-service",
        "a-cron-job",
    }
