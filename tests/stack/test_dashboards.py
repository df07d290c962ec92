"""Every panel has something to show: each query and each recording rule returns data, once there has been traffic."""

import pytest

from tests.configs.dashboards import MAY_BE_EMPTY, RULES, Query, filled_in, other_queries, queries
from tests.stack.measured import Measured, sources

RECORDED = [rule for rule in RULES if "record" in rule]


@pytest.mark.parametrize("query", [*queries(), *other_queries()], ids=str)
def test_a_query_returns_data(measured: Measured, query: Query):
    expr = filled_in(query.expr)
    measured.must_run(*sources(expr))
    if any(part in query.expr for part in MAY_BE_EMPTY):
        measured.values(expr)  # but it is no error
    else:
        measured.eventually(expr)


@pytest.mark.parametrize(
    "rule", RECORDED, ids=lambda rule: " ".join([rule["record"], *rule.get("labels", {}).values()])
)
def test_a_recording_rule_returns_data(measured: Measured, rule):
    measured.must_run(*sources(rule["expr"]))
    labels = ", ".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
    measured.eventually(f"{rule['record']}{{{labels}}}")
