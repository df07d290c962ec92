"""A run ends when it is interrupted, even if what was broken does not come back, and reports all that the books show."""

from types import SimpleNamespace

import pytest
from stack.errors import StackError

from tests.chaos import __main__ as run
from tests.chaos import faults
from tests.chaos.books import Judged
from tests.chaos.faults import Fault


def test_an_undo_that_fails_does_not_hide_that_the_run_was_interrupted():
    def fail(*_: object) -> None:
        raise StackError("it does not start")

    with (
        pytest.raises(StackError) as failed,
        faults.broken(SimpleNamespace(), {"stop": Fault(lambda *_: None, fail)}, "jaeger", "stop"),
    ):
        raise KeyboardInterrupt
    assert run.was_interrupted(failed.value)
    assert not run.was_interrupted(StackError("it does not start"))


def test_what_was_lost_between_two_faults_is_a_broken_promise_too():
    watched = SimpleNamespace(most_memory={})
    made = SimpleNamespace(rows=[], watch=watched, load=SimpleNamespace(surprises=[]))
    assert run.Run._broken(made, Judged()) == []
    judged = Judged(lost={"key": "expenditure 1 is not there"}, doubled={"key": "there are 2 of it"})
    assert run.Run._broken(made, judged) == ["lost: expenditure 1 is not there", "doubled: there are 2 of it"]
