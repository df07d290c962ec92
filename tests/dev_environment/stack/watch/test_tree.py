"""Every span of a trace is drawn once, whatever its parents and its clock say."""

from typing import Any

import pytest
from stack.watch.traces import Span
from stack.watch.tree import IN_CIRCLE, MISSING_PARENT, tree


def span(span_id: str, parent_id: str = "", start: int = 0, end: int = 10, **more: Any) -> Span:
    given = {"trace_id": "t", "service": "auth-service", "name": span_id, "kind": 2, "has_failed": False, "reason": ""}
    return Span(**(given | {"attributes": {}} | more), span_id=span_id, parent_id=parent_id, start=start, end=end)


def drawn(*spans: Span) -> list[tuple[str, int, str]]:
    return [(each.span.span_id, each.depth, each.note) for each in tree(spans)]


def test_children_stand_below_their_parents_in_the_order_of_their_starts():
    spans = [span("c", "a", 5), span("d", "b", 2), span("b", "a", 1), span("a")]
    assert drawn(*spans) == [("a", 0, ""), ("b", 1, ""), ("d", 2, ""), ("c", 1, "")]


def test_a_span_without_its_parent_begins_anew():
    assert drawn(span("a", "outside"), span("b", "gone", 1)) == [("a", 0, ""), ("b", 0, MISSING_PARENT)]


def test_a_caller_outside_is_not_missed_though_a_span_below_began_earlier_by_its_clock():
    behind = span("b", "a", 0, service="budget-service")
    [first, _] = drawn(span("a", "outside", 5), behind)
    assert first == ("a", 0, "")


def test_a_circle_of_parents_is_drawn_once():
    assert drawn(span("a", "b"), span("b", "a", 1)) == [("a", 0, IN_CIRCLE), ("b", 1, "")]
    assert drawn(span("a", "a")) == [("a", 0, IN_CIRCLE)]


def test_a_span_id_that_comes_twice_is_drawn_twice():
    assert sorted(drawn(span("a"), span("b", "a", 1), span("b", "a", 2))) == [("a", 0, ""), ("b", 1, ""), ("b", 1, "")]


def test_a_span_without_an_id_is_the_parent_of_none_that_has_no_parent():
    assert drawn(span(""), span("b", "", 1), span("", "gone", 2)) == [
        ("", 0, ""),
        ("b", 0, ""),
        ("", 0, MISSING_PARENT),
    ]


def test_a_thousand_levels_are_no_recursion():
    assert len(drawn(span("0"), *(span(str(each), str(each - 1), each) for each in range(1, 3000)))) == 3000


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        (
            span("b", "a", 1_000_000, 2_000_000, service="budget-service"),
            "starts 4.0 ms before its parent: clocks differ",
        ),
        (span("b", "a", 9_000_000, 2_000_000), "it ends before it starts: the clock was set"),
    ],
    ids=["behind", "set back"],
)
def test_clocks_that_differ_are_named(odd, note):
    assert drawn(span("a", start=5_000_000, end=9_000_000), odd) == [("a", 0, ""), ("b", 1, note)]
