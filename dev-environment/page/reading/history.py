"""An hour of numbers, one of each kind at a time, in a few bytes each."""

import math
from array import array
from collections.abc import Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Point = tuple[float, float]
"""Seconds since 1970, and a value."""

HOUR = 3600.0
# Looks that are closer than this are one point, unless an outage has begun or ended, so that an hour without one has no
# more than this many of them.
STEP_SECONDS = 4.5
MOST_POINTS = int(HOUR / STEP_SECONDS)


class History(Generic[Key]):
    """Columns of numbers beside their times; what is not known is NaN."""

    def __init__(self) -> None:
        self._times = array("d")
        self._is_known = array("b")
        """Whether anything is known of this time."""
        self._columns: dict[Key, array[float]] = {}

    def add(self, time: float, values: Mapping[Key, float | None]) -> None:
        """Append the values of one time; what has no value, or is not mentioned, is not known."""
        is_known = any(value is not None for value in values.values())
        is_close = self._times and 0 <= time - self._times[-1] < STEP_SECONDS
        if is_close and is_known == bool(self._is_known[-1]):
            return
        for key in values.keys() - self._columns.keys():
            self._columns[key] = array("f", [math.nan]) * len(self._times)
        self._times.append(time)
        self._is_known.append(is_known)
        for key, column in self._columns.items():
            value = values.get(key)
            column.append(math.nan if value is None else value)
        while len(self._times) > MOST_POINTS or self._times[0] < time - HOUR:
            for each in (self._times, self._is_known, *self._columns.values()):
                del each[0]

    def points(self, key: Key) -> list[Point]:
        """What is known of this column, the oldest first, and NaN where nothing is known of any."""
        rows = zip(self._times, self._is_known, self._columns.get(key, ()), strict=False)
        return [(time, value) for time, is_known, value in rows if not is_known or not math.isnan(value)]
