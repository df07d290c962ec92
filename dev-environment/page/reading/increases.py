"""What counters have counted in the last half minute, though a process that is started again counts from nothing."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Counts = Sequence[float]
"""Counters that belong together, such as the buckets of a histogram."""

WINDOW_SECONDS = 30.0
# The start of a process is known no better than this.
LEAST_SECONDS = 1.0


class Increases(Generic[Key]):
    """The increases from each look to the next."""

    def __init__(self) -> None:
        self.latest: Mapping[Key, Counts] = {}
        """As they were at the last look."""
        self._time: float | None = None
        self._process: float | None = None
        self._steps: deque[tuple[float, float, dict[Key, Counts]]] = deque()

    def look(self, time: float, process: float | None, counted: Mapping[Key, Counts], age: float = math.inf) -> None:
        """Take the counters as they are at this time of the monotonic clock.

        `process` is when their process was started, by whatever clock, and `age` how long ago that was.
        """
        if self._time is not None:
            is_same = process == self._process
            earlier = self.latest if is_same else {}
            seconds = time - self._time if is_same else min(time - self._time, max(age, LEAST_SECONDS))
            step = {key: _increase(earlier.get(key, ()), now) for key, now in counted.items()}
            step = {key: increase for key, increase in step.items() if any(increase)}
            self._steps.append((time, seconds, step))
        while self._steps and self._steps[0][0] <= time - WINDOW_SECONDS:
            self._steps.popleft()
        self._time, self._process, self.latest = time, process, counted

    @property
    def seconds(self) -> float:
        """The time over which `of` has counted."""
        return sum(seconds for _, seconds, _ in self._steps)

    def of(self, key: Key) -> Counts | None:
        """How far these counters have come; None before the second look."""
        latest = self.latest.get(key)
        if latest is None or not self._steps:
            return None
        steps = [step[key] for *_, step in self._steps if key in step and len(step[key]) == len(latest)]
        return [sum(each) for each in zip(*steps, strict=True)] if steps else [0.0] * len(latest)


def _increase(earlier: Counts, now: Counts) -> Counts:
    """From one look to the next; all of it if the counters have begun again."""
    if len(earlier) != len(now) or any(one > other for one, other in zip(earlier, now, strict=True)):
        return now
    return [other - one for one, other in zip(earlier, now, strict=True)]
