"""The breaker opens after failures in a row, tries again soon, one call at a time, and closes with the first answer."""

from typing import Any

import pytest

from libs.service_kit import breaker
from libs.service_kit.breaker import FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Breaker, Opened


class Clock:
    """The time, which only moves when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(breaker, "time", stopped)
    return stopped


@pytest.fixture
def states() -> list[str]:
    """The states that were shown."""
    return []


@pytest.fixture
def opened(clock: Clock, states: list[str]) -> Breaker:
    """A breaker that has just opened."""
    made = Breaker(states.append)
    for _ in range(FAILURES):
        made.failed(made.admit())
    return made


def refuses(given: Breaker) -> bool:
    with pytest.raises(Opened):
        given.admit()
    return True


def test_it_opens_after_failures_in_a_row_only(clock):
    given = Breaker(lambda _: None)
    for _ in range(FAILURES - 1):
        given.failed(given.admit())
    given.answered()
    for _ in range(FAILURES - 1):
        given.failed(given.admit())
    assert given.admit() is False
    given.failed(False)
    assert refuses(given)


def test_one_call_at_a_time_tries_and_its_answer_closes(opened, clock, states):
    assert refuses(opened)
    clock.now += FIRST_PAUSE_SECONDS
    assert opened.admit() is True
    assert refuses(opened)
    opened.answered()
    assert opened.admit() is False
    assert states == ["opened", "half-opened", "closed"]


def test_the_pause_grows_to_its_bound_and_begins_anew(opened, clock):
    pauses: list[Any] = []
    for _ in range(5):
        opened_at = clock.now
        while True:
            try:
                is_trial = opened.admit()
                break
            except Opened:
                clock.now += 0.25
        pauses.append(clock.now - opened_at)
        opened.failed(is_trial)
    assert pauses == [0.5, 1, 2, 2, 2]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    opened.answered()
    for _ in range(FAILURES):
        opened.failed(opened.admit())
    clock.now += FIRST_PAUSE_SECONDS
    assert opened.admit() is True


def test_a_trial_that_is_left_is_followed_by_another_at_once(opened, clock):
    clock.now += FIRST_PAUSE_SECONDS
    opened.left(opened.admit())
    assert opened.admit() is True


def test_a_call_that_is_left_changes_nothing(clock):
    given = Breaker(lambda _: None)
    for _ in range(FAILURES - 1):
        given.failed(given.admit())
    given.left(given.admit())
    given.failed(given.admit())
    assert refuses(given)


def test_older_calls_that_fail_do_not_prolong_the_pause_and_decide_no_trial(opened, clock):
    clock.now += FIRST_PAUSE_SECONDS / 2
    opened.failed(False)
    clock.now += FIRST_PAUSE_SECONDS / 2
    assert opened.admit() is True
    opened.failed(False)
    opened.left(False)
    opened.answered()
    assert opened.admit() is False


def test_an_older_call_that_is_answered_says_that_the_other_side_is_back(opened):
    opened.answered()
    assert opened.admit() is False
