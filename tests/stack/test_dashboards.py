"""Every panel has something to show: after traffic, each query and each recording rule returns data."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from stack import environment
from stack.services import PROBE

from tests.configs.dashboards import MAY_BE_EMPTY, RULES, filled_in, other_queries, queries
from tests.configs.promql import exported_by_services, selectors
from tests.stack.measured import sources

RECORDED = [rule for rule in RULES if "record" in rule]
BEGINS_LATER = {"job:process_starts:sum15m": "a quarter of an hour after the service"}


@pytest.mark.parametrize("query", [*queries(), *other_queries()], ids=str)
def test_a_query_returns_data(measured, query):
    expr = filled_in(query.expr)
    measured.must_run(*sources(expr))
    if any(part in query.expr for part in MAY_BE_EMPTY):
        measured.values(expr)  # an error fails here, an empty result does not
    else:
        measured.eventually(expr)


@pytest.mark.parametrize(
    "rule", RECORDED, ids=lambda rule: " ".join([rule["record"], *rule.get("labels", {}).values()])
)
def test_a_recording_rule_returns_data(measured, rule):
    measured.must_run(*sources(rule["expr"]))
    labels = ", ".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
    asked = f"{rule['record']}{{{labels}}}"
    if any(part in asked for part in MAY_BE_EMPTY | BEGINS_LATER):
        measured.values(asked)
    else:
        measured.eventually(asked)


def test_what_panels_and_rules_ask_of_the_services_is_on_their_pages(settings):
    """This test needs no Prometheus, so it covers local mode too."""
    asked = [filled_in(query.expr) for query in [*queries(), *other_queries()]] + [rule["expr"] for rule in RULES]
    names = {selector.name for expr in asked for selector in selectors(expr)} & exported_by_services()
    shown = {
        sample.name
        for program in settings.programs
        for family in text_string_to_metric_families(httpx.get(f"{environment.url(program, settings)}/metrics").text)
        for sample in family.samples
    }
    assert len(names) > 20
    names -= set() if PROBE in settings.programs else {name for name in names if name.startswith("probe_")}
    assert sorted(name for name in names - shown if name not in MAY_BE_EMPTY) == []
