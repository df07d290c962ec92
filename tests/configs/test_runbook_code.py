"""The code in runbooks is of a kind that is run, asks for metrics that exist, and leaves open only what is documented."""

import collections
import re

import pytest

from tests.configs import exporters, promql
from tests.configs.dashboards import DEV, recorded
from tests.fixtures import runbooks
from tests.fixtures.runbooks import PLACEHOLDER


def test_code_that_is_more_than_a_name_is_of_a_kind_that_is_run():
    assert [each for each in runbooks.ALL if not each.kind or (each.kind == "other" and "<" in each.text)] == []


@pytest.mark.parametrize("code", runbooks.of("promql"), ids=lambda code: code.text)
def test_a_question_to_prometheus_asks_for_metrics_that_exist(code):
    others = {name for metrics in exporters.EXPORTERS.values() for name in metrics}
    known = recorded() | promql.exported_by_services() | others | set(exporters.PROCESS)
    assert {selector.name for selector in promql.selectors(code.text)} <= known


def test_each_placeholder_is_documented_and_used():
    documented = re.findall(r"^\| `<(\w+)>` \|", (DEV / "README.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted({name for each in runbooks.ALL for name in PLACEHOLDER.findall(each.text)})


def test_each_name_that_is_no_metric_is_in_a_runbook():
    assert set(runbooks.NOT_METRICS) <= {each.text for each in runbooks.ALL}


def test_each_harmless_form_stands_for_a_command():
    typed = [each.text for each in runbooks.ALL]
    assert [pattern for pattern, _ in runbooks.HARMLESS if not any(re.search(pattern, each) for each in typed)] == []


def test_what_would_change_a_running_stack_is_only_tried_there():
    values = collections.defaultdict(lambda: "x")
    tried = [runbooks.harmless(each, values) for each in runbooks.of("make", "docker")]
    changing = [each for each in tried if re.search(r" (up|run|restart|events-replay) ", each)]
    assert [each for each in changing if not re.search(r"--dry-run| ID=", each)] == []


def test_a_question_with_labels_is_asked():
    assert 'dependency_up{dependency="broker"}' in {each.text for each in runbooks.of("promql")}
