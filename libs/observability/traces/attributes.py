"""Plain attributes: strings of bounded length, numbers and booleans, which need no cleaning and reach no limit."""

from typing import Any

from opentelemetry.sdk.trace import SpanLimits

NUMBERS = frozenset((int, bool, float))
# Within tighter limits than these no attribute counts as plain.
MOST_PLAIN, LONGEST_PLAIN = 128, 8192


class Shared(dict[str, Any]):
    """Plain attributes that many spans have in common: one mapping for all of them, which nobody may change.

    `encoded` belongs to the exporter, which encodes the mapping only once.
    """

    encoded: bytes = b""


def is_plain(key: Any, value: Any) -> bool:
    """Whether an attribute is plain: its value, under a name that is a string."""
    if type(key) is not str or not key:
        return False
    return len(value) <= LONGEST_PLAIN if type(value) is str else type(value) in NUMBERS


def has_room(limits: SpanLimits) -> bool:
    """Whether plain attributes can never exceed these limits."""
    most, longest = limits.max_span_attributes, limits.max_span_attribute_length
    return (most is None or most >= MOST_PLAIN) and (longest is None or longest >= LONGEST_PLAIN)
