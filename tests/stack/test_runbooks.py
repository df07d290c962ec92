"""What the runbooks say to type or to ask works on the running stack, as written."""

import os
from collections.abc import Iterator

import httpx
import pytest
from stack.docker import engine, parts
from stack.services import PROBE
from stack.settings import Settings

from libs.journey import steps
from tests.fixtures import runbooks
from tests.fixtures.runbooks import Code
from tests.fixtures.waiting import eventually
from tests.stack import signals
from tests.stack.measured import skip_without, sources
from tests.stack.traffic import Traffic

# What may have no answer while all is well.
MAY_BE_EMPTY = {"slo:error_budget_remaining:ratio7d": "it begins with the first full hour"}


@pytest.fixture(scope="module")
def reader(settings: Settings, made: Traffic) -> Iterator[dict[str, str]]:
    """What a reader fills in."""
    with runbooks.reader(settings, made.created) as values:
        yield values | {"tenant": made.tenant.tenant_id}


def named(code: Code) -> str:
    return code.text


@pytest.fixture
def unassigned_shard(elasticsearch: httpx.Client, reader: dict[str, str]) -> Iterator[None]:
    """An index to find, to explain and to delete: one node cannot hold the copy of a shard."""
    index = f"/logs-{reader['service']}-{reader['day']}"
    elasticsearch.put(
        index, json={"settings": {"number_of_replicas": 1, "auto_expand_replicas": False}}
    ).raise_for_status()
    yield
    elasticsearch.delete(index)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("code", runbooks.of("make", "docker", "host"), ids=named)
def test_a_command_does_what_it_says(code, reader, mode, running, left_out, settings, request):
    command = runbooks.harmless(code, reader)
    needs_containers = code.kind == "docker" or any(each in code.text for each in ("PARTS=", "SCALE="))
    if needs_containers and mode != "docker":
        pytest.skip("it is for Docker mode")
    if "SERVICE=probe" in code.text and PROBE not in settings.programs:
        pytest.skip("PROBE=0 has switched the probe off")
    if code.kind == "docker":
        skip_without(_containers(command) - running, left_out)
    is_asked = "exec elasticsearch" in code.text
    if is_asked:
        request.getfixturevalue("unassigned_shard")
    said = runbooks.run(command, os.environ)
    assert not is_asked or (said and '"error"' not in said), said


def _containers(command: str) -> set[str]:
    """The containers that a command is about, but for those that only do one thing and end."""
    return set(command.split()) & parts.long_running(engine.model())


def test_the_sql_is_typed_into_psql(reader):
    statements = [each.filled_in(reader | {"pid": "0"}) for each in runbooks.of("sql")]
    runbooks.run("make psql", os.environ, "".join(f"{each};\n" for each in statements))


@pytest.mark.parametrize("code", runbooks.of("http"), ids=named)
def test_a_request_is_answered(code, reader, api, settings):
    path = code.filled_in(reader).removeprefix("GET ")
    steps.log_in_to_platform(api, settings.values).get("tenant", path)


@pytest.mark.parametrize("code", runbooks.of("promql"), ids=named)
def test_a_question_to_prometheus_has_an_answer(code, measured):
    measured.must_run(*sources(code.text))
    if code.text in MAY_BE_EMPTY:
        measured.values(code.text)  # an error fails here, an empty result does not
    else:
        measured.eventually(code.text)


@pytest.mark.parametrize("code", runbooks.of("logql"), ids=named)
def test_a_question_to_loki_is_one(code, reader, loki):
    signals.asked_of_loki(loki, code.filled_in(reader))  # what it looks for may not have happened


@pytest.mark.parametrize("code", runbooks.of("kibana"), ids=named)
def test_a_search_of_kibana_finds_lines(code, elasticsearch, shipped):
    """The query is written so that Elasticsearch's own query language means the same by it."""
    asked: dict[str, httpx.QueryParamTypes] = {"params": {"q": code.text}}
    found = eventually(lambda: elasticsearch.get("/logs-*/_search", **asked).json()["hits"]["total"]["value"])
    assert found > 0
