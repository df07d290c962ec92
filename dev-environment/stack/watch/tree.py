"""The spans of a trace as a tree, whatever their parents and their clocks say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stack.watch.traces import Span

MISSING_PARENT, IN_CIRCLE = "its parent is not recorded", "its parents form a circle"


@dataclass(frozen=True, slots=True)
class Placed:
    """A span in the tree: how deep, and what is odd about it."""

    span: Span
    depth: int
    note: str = ""


def tree(spans: Sequence[Span]) -> Iterator[Placed]:
    """Every span once, each below its parent, in the order of their starts; what no parent leads to begins anew."""
    ordered = sorted(spans, key=lambda span: span.start)
    known = {each.span_id: each for each in ordered if each.span_id}
    children: dict[str, list[Span]] = {}
    for span in ordered:
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    placed: set[int] = set()
    roots = children.pop("", [])
    for root in (*roots, *ordered):
        if id(root) in placed:
            continue
        in_circle = root.parent_id in known
        waiting = [(root, 0)]
        while waiting:
            span, depth = waiting.pop()
            if id(span) in placed:
                continue
            placed.add(id(span))
            if span is root:
                # The first root may have a caller outside, who is not recorded here.
                note = IN_CIRCLE if in_circle else MISSING_PARENT if span.parent_id and span is not roots[0] else ""
            else:
                note = _clock_note(span, known[span.parent_id])
            yield Placed(span, depth, note)
            waiting += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]


def duration(seconds: float) -> str:
    """`12.3 ms`, `340 ms`, `1.20 s`."""
    if abs(seconds) >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.0f} ms" if abs(seconds) >= 0.1 else f"{seconds * 1000:.1f} ms"


def _clock_note(span: Span, parent: Span) -> str:
    if span.end < span.start:
        return "it ends before it starts: the clock was set"
    if span.start < parent.start and span.service != parent.service:
        early = duration((parent.start - span.start) / 1e9)
        return f"starts {early} before its parent: clocks differ"
    return ""
