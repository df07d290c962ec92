"""The names in `libs/telemetry.yml` are whose it says they are, and the page for readers is what it builds."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry import semconv
from registry import PAGE, Entry, entries, page

ENTRIES = entries()


def conventions(kind: str) -> Iterator[tuple[str, str]]:
    """The names of the semantic conventions, attributes or metrics, each with what the package says of it."""
    for file in Path(next(iter(semconv.__path__))).rglob(f"*_{kind}.py"):
        body = ast.parse(file.read_text()).body
        for declared, said in pairwise(body):
            match declared, said:
                case ast.AnnAssign(value=ast.Constant(value=str(name))), ast.Expr(value=ast.Constant(value=str(text))):
                    yield name, text


ATTRIBUTES = dict(conventions("attributes"))
METRICS = dict(conventions("metrics"))


def named(whose: str, *sections: str) -> list[Entry]:
    return [entry for entry in ENTRIES if entry.whose == whose and entry.section in sections]


def test_the_conventions_can_be_read():
    assert ATTRIBUTES["http.route"]
    assert ATTRIBUTES["db.system"].strip().startswith("Deprecated")
    assert METRICS["db.client.operation.duration"]


@pytest.mark.parametrize("entry", named("opentelemetry", "resource", "attributes"), ids=lambda entry: entry.name)
def test_an_attribute_of_opentelemetry_is_one_and_has_not_been_given_up(entry):
    assert entry.name in ATTRIBUTES
    assert not ATTRIBUTES[entry.name].strip().startswith("Deprecated")


def test_an_attribute_of_ours_is_outside_of_opentelemetrys_namespaces():
    theirs = {name.partition(".")[0] for name in ATTRIBUTES}
    ours = {entry.name for entry in named("ours", "resource", "attributes")}
    assert [name for name in ours if name.partition(".")[0] in theirs] == []


def test_a_metric_of_opentelemetry_has_its_name_with_the_unit_behind():
    theirs = {name.replace(".", "_") for name in METRICS}
    for entry in named("opentelemetry", "metrics"):
        assert entry.name.removesuffix(f"_{entry.unit}") in theirs, entry.name


@pytest.mark.parametrize("entry", [each for each in ENTRIES if each.section == "metrics"], ids=lambda entry: entry.name)
def test_the_unit_of_a_metric_is_in_its_name_or_in_its_help(entry):
    units = ("seconds", "bytes", "currency")
    told = {unit for unit in units if re.search(rf"_{unit}(_total)?$", entry.name) or f" {unit}" in entry.brief}
    assert told == {entry.unit} - {""}


def test_the_page_is_what_is_built_from_the_registry():
    assert PAGE.read_text() == page(), "run `make registry`"
