"""An exemplar leads from a metric to the request behind it: it names a trace, and that trace is stored."""

import re
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from stack import environment
from stack.services import SERVICES, service_named
from stack.watch.traces import Span

from tests.fixtures.waiting import eventually
from tests.stack import signals
from tests.stack.measured import SERVICES as JOBS

SECONDS = 30


def is_stored(read_spans: Callable[[str], list[Span]], trace_id: str, service: str) -> None:
    """Wait for a span of this service: the services of one trace deliver their spans at different moments."""

    def found() -> bool:
        return service in {span.service for span in read_spans(trace_id)}

    eventually(found, SECONDS, f"no span of {service} in trace {trace_id} is stored")


@pytest.mark.parametrize("service", sorted(service.name for service in SERVICES))
def test_an_exemplar_of_a_service_names_a_trace_that_is_stored(read_spans, settings, service):
    url = environment.url(service_named(service.removesuffix("-service")), settings)
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    page = httpx.get(f"{url}/metrics", headers=accept).raise_for_status().text
    named = re.findall(r'^http_request_duration_seconds_bucket.*# \{trace_id="([0-9a-f]{32})"\} \S+ (\S+)$', page, re.M)
    assert named, f"no exemplar in {url}/metrics"
    trace_id, _ = max(named, key=lambda exemplar: float(exemplar[1]))
    is_stored(read_spans, trace_id, service)


@pytest.mark.parametrize("job", sorted(JOBS))
def test_an_exemplar_in_prometheus_leads_to_its_trace_in_jaeger(measured, made, jaeger, job):
    measured.must_run(job, "jaeger")
    query = f'http_request_duration_seconds_bucket{{job="{job}"}}'

    def newest() -> str:
        series = measured.get("/api/v1/query_exemplars", query=query, start=made.began, end=made.ended + 60)
        exemplars = [exemplar for each in series for exemplar in each["exemplars"]]
        return max(exemplars, key=lambda each: each["timestamp"])["labels"]["trace_id"] if exemplars else ""

    trace_id = eventually(newest, SECONDS, f"no exemplar of {job}")
    is_stored(partial(signals.spans_in_jaeger, jaeger), trace_id, job)


def test_jaeger_and_the_files_of_local_mode_have_the_same_spans(mode, settings, jaeger, made):
    if mode != "local":
        pytest.skip("it is for local mode")

    def ids(spans: list[Span]) -> set[str]:
        return {span.span_id for span in spans}

    def are_the_same() -> bool:
        stored, written = signals.spans_in_jaeger(jaeger, made.created), signals.spans_in_files(settings, made.created)
        return bool(stored) and ids(stored) == ids(written)

    eventually(are_the_same, SECONDS, f"trace {made.created} differs")
