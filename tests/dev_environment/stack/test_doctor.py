"""Every error is reported before a start, and comes with its cure."""

import pytest
from stack import doctor
from stack.errors import StackError


def test_every_error_is_reported_at_once_and_warnings_do_not_stop_a_start():
    findings = [doctor.Finding(state, state, "cure") for state in ("ok", "warning", "error", "error")]
    assert [each.state for each in doctor.require(findings[:2])] == ["warning"]
    with pytest.raises(StackError, match=r"^error. cure\nerror. cure$"):
        doctor.require(findings)
