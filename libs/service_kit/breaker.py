"""A circuit breaker: after five failures in a row nobody is let through, save one trial at a time after a short pause.

What neither failed nor was answered, such as a call that its caller left, changes nothing: not every call that ends
without an answer is a failure of the other side.
"""

import time
from collections.abc import Callable

CLOSED, HALF_OPENED, OPENED = "closed", "half-opened", "opened"
FAILURES = 5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 2.0
"""Until the next trial: the pause doubles with each one that fails. A trial costs the other side one call."""


class Opened(Exception):
    """The breaker is open: the call is not made."""


class Breaker:
    """The breaker towards one service; `show` is called with each new state."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.state = CLOSED
        self._show = show
        self._failures = 0
        self._pause = self._trial_at = 0.0

    def admit(self) -> bool:
        """Whether the call that now begins is a trial. Raises `Opened` when it must not begin."""
        if self.state == CLOSED:
            return False
        if self.state == HALF_OPENED or time.monotonic() < self._trial_at:
            raise Opened
        self._turn(HALF_OPENED)
        return True

    def answered(self) -> None:
        """The other side has answered: it is back, even if the call began before the breaker opened."""
        self._failures = 0
        if self.state != CLOSED:
            self._turn(CLOSED)

    def failed(self, is_trial: bool) -> None:
        """The other side has failed. Once the breaker is open only trials count, since older calls may still fail."""
        self._failures += 1
        if is_trial or (self.state == CLOSED and self._failures >= FAILURES):
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS) if is_trial else FIRST_PAUSE_SECONDS
            self._trial_at = time.monotonic() + self._pause
            self._turn(OPENED)

    def left(self, is_trial: bool) -> None:
        """The call says nothing about the other side; after a trial, the next call is one."""
        if is_trial:
            self._turn(OPENED)

    def _turn(self, state: str) -> None:
        self.state = state
        self._show(state)
