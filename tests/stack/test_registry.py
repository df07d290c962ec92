"""The running stack shows the metrics that `libs/telemetry.yml` names, and with a broker what is marked for one."""

import httpx
from registry import entries
from stack import environment
from stack.services import SERVICES
from stack.settings import Settings

from tests.fixtures import emitted
from tests.fixtures.emitted import Fact
from tests.fixtures.waiting import eventually

SECONDS = 30


def test_metrics_are_those_of_the_registry(settings, made):
    emitted.must_be_named(pages(settings))


def test_what_is_marked_for_a_broker_is_emitted_where_there_is_one(mode, settings, read_spans, made):
    named = [each for each in entries() if each.section in ("attributes", "metrics")]
    marked = {each.name for each in named if each.where == "docker"} - {each.name for each in named if not each.where}
    wanted = marked if mode != "local" else set()

    def is_seen() -> bool:
        attributes = {name for span in read_spans(made.created) for name in span.attributes}
        return bool(attributes) and marked & (attributes | {fact.name for fact in pages(settings)}) == wanted

    eventually(is_seen, SECONDS, f"in mode {mode}, not exactly {wanted} of {marked}")


def pages(settings: Settings) -> set[Fact]:
    """What the services' pages of metrics show."""
    return {
        fact
        for service in SERVICES
        for fact in emitted.of_page(service.short, httpx.get(f"{environment.url(service, settings)}/metrics").text)
    }
