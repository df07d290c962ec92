"""The tool that changes the rules writes an unchanged rule as it is, and knows the cases of every rule."""

import promql_parser
import pytest

from tests.rules.__main__ import RULES, TESTS, Mutant, cases, name_of
from tests.rules.mutants import mutants, text

every_rule = pytest.mark.parametrize(("stem", "rule"), RULES, ids=lambda part: part if isinstance(part, str) else "")


@every_rule
def test_an_expression_is_written_as_it_was_read(stem, rule):
    read = promql_parser.parse(rule["expr"])
    assert promql_parser.parse(text(read)).prettify() == read.prettify()


@every_rule
def test_a_rule_has_a_case_and_mutants_that_differ_from_it(stem, rule):
    assert any(cases(test, name_of(rule)) for test in TESTS[stem])
    changes = [change for change, _ in mutants(rule)]
    assert len(changes) == len(set(changes)) > 0
    assert all(changed != rule for _, changed in mutants(rule))


def test_every_part_of_an_expression_is_changed():
    rule = {
        "alert": "X",
        "expr": 'sum by (job) (rate(x_total{status="5xx"}[5m] offset 1h)) > 0.5 and on (job) max_over_time(up[1d:1h]) == 0',
        "for": "1m",
    }
    assert {change for change, _ in mutants(rule)} >= {
        "sum -> max",
        'x_total{status="5xx"}[300s] offset 3600s: window x 2',
        'x_total{status="5xx"}[300s] offset 3600s: offset x 0.5',
        'x_total{status="5xx"}[300s] offset 3600s without status="5xx"',
        "up[86400s:3600s]: window x 2",
        "0.5 -> 1",
        "0.5 -> 0.25",
        "0 -> 2",
        "no `for`",
        "`for` x 3",
    }
    assert Mutant("x", rule, "", rule).key == ("X", "")
