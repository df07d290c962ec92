"""Log lines where the pods have written them, and where Elasticsearch has stored them."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import httpx
from stack.kubernetes import cluster
from stack.services import PROBE, SERVICES
from stack.settings import Settings

from tests.fixtures.waiting import eventually
from tests.kubernetes.pods import Pod, pods_of

STORED_WITHIN_SECONDS = 90
MOST = 10_000
"""How many documents one answer of Elasticsearch holds at most."""
ADDED = {"@timestamp", "tags"}
"""What a document has beside the fields of its line."""
Line = dict[str, Any]


def written(settings: Settings, pods: Iterable[Pod]) -> Counter[str]:
    """The lines in the files of pods."""
    names = [each["metadata"]["name"] for each in pods]
    found = cluster.lines(settings, names, "cat /var/log/app/*/combined.log*")
    return Counter(_text(json.loads(each)) for each in found if each.endswith("}\n"))


def stored(settings: Settings, instances: Collection[str]) -> list[dict[str, Any]]:
    """The documents of these instances of services: each with its `_index`, `_id` and `_source`."""
    found = list[dict[str, Any]]()
    with httpx.Client(base_url=f"http://127.0.0.1:{settings.port('ELASTICSEARCH_PORT')}", timeout=30) as elasticsearch:
        elasticsearch.post("/logs-*/_refresh").raise_for_status()
        for each in instances:
            query = {"query": {"term": {"instance_id": each}}, "size": MOST, "sort": ["timestamp"]}
            hits = elasticsearch.post("/logs-*/_search", json=query).raise_for_status().json()["hits"]["hits"]
            assert len(hits) < MOST
            found += hits
    return found


def lines_of(documents: Iterable[dict[str, Any]]) -> Counter[str]:
    """The lines of which these are the documents."""
    own = ({name: value for name, value in each["_source"].items() if name not in ADDED} for each in documents)
    return Counter(map(_text, own))


def instances_of(lines: Iterable[str]) -> set[str]:
    """The instances of services that have written these lines."""
    return {json.loads(each)["instance_id"] for each in lines}


def everything_is_stored_once(settings: Settings) -> None:
    """Wait until Elasticsearch has what is in the files of all pods, with the same fields; fail for a line that it has twice."""
    pods = [pod for each in (*SERVICES, PROBE) for pod in pods_of(settings, each.name)]

    def difference() -> tuple[int, int]:
        there = written(settings, pods)
        documents = lines_of(stored(settings, instances_of(there)))
        twice = {line: count for line, count in (documents - there).items() if line in there}
        assert twice == {}
        return sum((there - documents).values()), sum(there.values())

    seen: list[tuple[int, int]] = []

    def is_there() -> bool:
        seen.append(difference())
        return seen[-1][0] == 0

    eventually(is_there, STORED_WITHIN_SECONDS, lambda: f"{seen[-1][0]} of {seen[-1][1]} lines are not stored")


def _text(line: Line) -> str:
    return json.dumps(line, sort_keys=True)
