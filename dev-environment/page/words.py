"""Numbers, times and texts as the page shows them."""

import math
import time
from datetime import datetime
from typing import Any

from stack.watch import logs, tree

NOTHING = "–"
# A text may be of any length, and a browser does nothing else while it lays out a megabyte.
LONGEST = 20_000
# Characters that would turn the text around them are shown by their numbers, as other control characters are.
TURNING = {code: f"\\u{code:04x}" for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
HARMLESS = logs.CONTROLS | TURNING


def harmless(value: Any) -> Any:
    """A value in which every string shows its control characters, and is cut where it is too long to be read."""
    return logs.harmless(value, _visible)


def _visible(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} … ({len(text) - LONGEST} more characters)"
    return text if text.isprintable() else text.translate(HARMLESS)


def duration(seconds: float | None) -> str:
    """`12.3 ms`, `340 ms`, `1.20 s`."""
    return NOTHING if seconds is None else tree.duration(seconds)


def rate(per_second: float | None) -> str:
    """`3.2/s`; what is rare by the minute."""
    if per_second is None:
        return NOTHING
    if 0 < per_second < 0.1:
        return f"{per_second * 60:.1f}/min"
    return f"{per_second:.1f}/s"


def ratio(part: float | None) -> str:
    """`0 %`, `1.5 %`, `100 %`."""
    return NOTHING if part is None else f"{part * 100:.1f}".removesuffix(".0") + " %"


def size(count: float | None) -> str:
    """`87 MB`."""
    return NOTHING if count is None else f"{count / 1e6:.0f} MB"


def number(value: float | None) -> str:
    """`1,234`, `0.25`; a gauge may be `nan` or `inf`."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def age(since: float) -> str:
    """How long ago: `12 s`, `3 min`, `2 h 05 min`."""
    seconds = max(int(time.time() - since), 0)
    minutes = seconds // 60
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def clock(when: float, *, exact: bool = False) -> str:
    """The time of day here: `14:03:09`, or `14:03:09.123`."""
    shown = datetime.fromtimestamp(when).astimezone()
    return f"{shown:%H:%M:%S}" + (f".{shown.microsecond // 1000:03}" if exact else "")
