"""An exception is told in a bounded number of frames, causes and members, whatever its stack, chain or group is."""

import traceback

import pytest

from libs.observability.errors import LONGEST_STACK, MOST_EXCEPTIONS, describe


def caused(number: int, **how: object) -> BaseException:
    """An exception with so many causes."""
    error: BaseException | None = None
    for each in range(number):
        try:
            raise ValueError(f"failure {each}") from error
        except ValueError as raised:
            error = raised
    assert error is not None
    return error


def recurse(depth: int) -> None:
    recurse(depth + 1)


def test_a_stack_is_told_as_python_tells_it():
    error = caused(2)
    expected = [line for line in traceback.format_exception(error) if "^^^" not in line]
    assert describe(error)["stack"] == "".join(expected).rstrip()


def test_a_note_and_what_happened_meanwhile_are_told():
    try:
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            raise KeyError("meanwhile")  # noqa: B904
    except KeyError as error:
        error.add_note("password=hunter2")
        stack = describe(error)["stack"]
    assert "During handling of the above exception" in stack
    assert stack.endswith("KeyError: 'meanwhile'\npassword=[redacted]")


def test_of_hundreds_of_causes_the_nearest_and_the_first_are_told():
    stack = describe(caused(500))["stack"]
    assert stack.count("ValueError: failure") == MOST_EXCEPTIONS
    assert "failure 499" in stack
    assert len(stack) <= LONGEST_STACK


def test_of_thousands_in_a_group_some_are_told():
    group = ExceptionGroup("many", [ValueError(f"failure {number}") for number in range(5000)])
    stack = describe(group)["stack"]
    assert 0 < stack.count("ValueError: failure") < MOST_EXCEPTIONS
    assert "many" in stack


def test_of_an_endless_recursion_the_beginning_and_the_end_are_told():
    with pytest.raises(RecursionError) as raised:
        recurse(0)
    stack = describe(raised.value)["stack"]
    assert "frames more" in stack
    assert 10 < stack.count("in recurse") < 30
    assert "in test_of_an_endless_recursion" in stack


def test_a_chain_that_is_a_ring_is_told_once():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    stack = describe(first)["stack"]
    assert (stack.count("first"), stack.count("second")) == (1, 1)


def test_a_class_of_anybodys_hides_nothing_of_its_stack():
    kind = type("Odd", (Exception,), {"__traceback__": None, "__module__": property(None), "__cause__": 7})
    try:
        raise kind("told")
    except kind as error:
        described = describe(error)
    assert "test_errors.py" in described["stack"]
    assert described["message"] == "told"


def test_the_causes_of_what_is_in_a_group_are_shown_however_deep_it_is():
    def failing(cause: str, text: str) -> Exception:
        try:
            raise RuntimeError(text) from ValueError(cause)
        except RuntimeError as error:
            return error

    inner = ExceptionGroup("inner", [failing("the root", "a member")])
    outer = ExceptionGroup("outer", [inner, KeyError("k")])
    assert all(text in describe(outer)["stack"] for text in ("the root", "a member", "KeyError", "In the group"))
    try:
        raise LookupError("in the end") from outer
    except LookupError as error:
        stack = describe(error)["stack"]
    assert "in the end" in stack
    assert "a member" in stack


def test_a_secret_where_a_note_is_cut_is_hidden():
    error = ValueError("no")
    error.add_note("a" * 225 + " postgresql://app:hunter2-and-more@db:5432/auth")
    assert "aaaa" in describe(error)["stack"]
    assert "hunter2" not in describe(error)["stack"]
