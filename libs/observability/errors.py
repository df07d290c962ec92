"""An exception as log lines and spans show it: type, message and stack, without secrets and bounded."""

import linecache
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from traceback import walk_tb
from types import TracebackType
from typing import Any, TypedDict, cast

from opentelemetry.trace import Span, Status, StatusCode

from .redaction import LEFT_OUT, OVERLAP, Budget, redact_string, to_string

LONGEST_MESSAGE, LONGEST_STACK = 1024, 8192
LONGEST_PART, LONGEST_TEXTS = 256, 768
"""Of a stack: one message, the notes of one exception, one frame; and all messages and notes together."""
MOST_EXCEPTIONS = 6
"""The exception, its nearest causes and the last ones, and members of its group."""
FIRST_FRAMES, LAST_FRAMES, LAST_FRAMES_OF_OTHERS = 4, 20, 5
MOST_NOTES = 4
# Steps to the end of a chain or a stack, for which Python knows no bound.
MOST_LINKS, MOST_STEPS = 128, 10_000
CAUSED = "\nThe above exception was the direct cause of the following exception:\n"
MEANWHILE = "\nDuring handling of the above exception, another exception occurred:\n"

# As Python keeps them, whatever the class of an exception says.
_own: Any = BaseException


class ErrorFields(TypedDict):
    """The `error` object of a line."""

    type: str
    message: str
    stack: str


def type_name(error: BaseException) -> str:
    """`ValueError`, `sqlalchemy.exc.IntegrityError`."""
    kind = type(error)
    try:
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    except Exception:  # a class can be anybody's code too
        name = type.__dict__["__name__"].__get__(kind)
    return name[:LONGEST_PART]


def traceback_of(error: BaseException) -> TracebackType | None:
    """Where the exception was raised, whatever its class says."""
    return _own.__traceback__.__get__(error)


def describe(error: BaseException, budget: Budget | None = None) -> ErrorFields:
    """What a line or a span says of the exception, at most `LONGEST_MESSAGE` + `LONGEST_TEXTS` of the budget.

    Costs some 100 microseconds, and ten times as much for what is long: not for refusals that a client can cause at will.

    Of long stacks the frames nearest to the failure are shown, of many exceptions the first and the last. A source file
    is read when a stack leads through it for the first time.
    """
    budget = budget or Budget()
    message = budget.string(to_string(error), LONGEST_MESSAGE)
    texts = budget.part(LONGEST_TEXTS)
    stack = "\n".join(_stack(error, message, texts))
    if len(stack) > LONGEST_STACK:
        # The end of the stack shows where the exception was raised; the beginning is framework code.
        stack = LEFT_OUT + stack[1 - LONGEST_STACK :]
    return {"type": type_name(error), "message": message, "stack": stack}


def _stack(error: BaseException, message: str, texts: Budget) -> list[str]:
    """The stack as Python writes it, but for the marks below its lines: members of a group first, then causes, the rest last."""
    chain = _chain(error)
    shown: list[str] = []
    room = MOST_EXCEPTIONS - len(chain)
    for group, leaf in _leaves([each for each, _ in chain]):
        causes = _chain(leaf)[:room]
        room -= len(causes)
        if causes:
            shown.append(f"In the group {type_name(group)}:")
        for each, link in reversed(causes):
            shown += [*_one(each, texts), link]
    for each, link in reversed(chain):
        shown += _one(each, texts) if each is not error else _one(error, texts, message, FIRST_FRAMES + LAST_FRAMES)
        shown += [link] if link else []
    return shown


def _chain(error: BaseException) -> list[tuple[BaseException, str]]:
    """The exception and its causes, each with what connects it to the one before."""
    chain: list[tuple[BaseException, str]] = [(error, "")]
    seen = {id(error)}
    for _ in range(MOST_LINKS):
        last = chain[-1][0]
        cause, context = _own.__cause__.__get__(last), _own.__context__.__get__(last)
        following = cause if cause is not None or _own.__suppress_context__.__get__(last) else context
        if following is None or id(following) in seen:
            break
        seen.add(id(following))
        chain.append((following, MEANWHILE if cause is None else CAUSED))
    half = MOST_EXCEPTIONS // 2
    return chain if len(chain) <= MOST_EXCEPTIONS else [*chain[:half], *chain[-half:]]


def _leaves(errors: Sequence[BaseException]) -> list[tuple[BaseException, BaseException]]:
    """What is in these groups and in the groups within them, each with its group, in the order in which it was raised."""
    found: list[tuple[BaseException, BaseException]] = []
    waiting = list(errors)
    for _ in range(MOST_LINKS):
        if not waiting or len(found) >= MOST_EXCEPTIONS:
            break
        group = waiting.pop(0)
        for member in _members(group)[:MOST_EXCEPTIONS]:
            if _members(member):
                waiting.append(member)
            else:
                found.append((group, member))
    return found


def _members(error: BaseException) -> tuple[BaseException, ...]:
    group: Any = BaseExceptionGroup
    return group.exceptions.__get__(error) if issubclass(type(error), BaseExceptionGroup) else ()


def _one(
    error: BaseException, texts: Budget, message: str | None = None, most_frames: int = LAST_FRAMES_OF_OTHERS
) -> list[str]:
    """Frames, type, message and notes of one exception."""
    text = texts.string(to_string(error), LONGEST_PART) if message is None else message[:LONGEST_PART]
    kind = type_name(error)
    notes: object = _own.__dict__["__dict__"].__get__(error).get("__notes__")
    some = cast("list[object]", notes)[:MOST_NOTES] if type(notes) is list else []
    noted = "\n".join([to_string(note)[: LONGEST_PART + OVERLAP] for note in some])
    shown = [*_frames(traceback_of(error), most_frames), f"{kind}: {text}" if text else kind]
    return [*shown, texts.string(noted, LONGEST_PART)] if some else shown


def _frames(traceback: TracebackType | None, most: int) -> list[str]:
    if traceback is None:
        return []
    steps = islice(walk_tb(traceback), MOST_STEPS)
    first = list(islice(steps, max(0, most - LAST_FRAMES)))
    last = deque(enumerate(steps, 1), LAST_FRAMES if first else most)
    left_out = last[0][0] - 1 if last else 0
    frames = [_frame(frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in first]
    frames += [f"  {LEFT_OUT} {left_out} frames more"] if left_out else []
    frames += [_frame(frame.f_code.co_filename, line, frame.f_code.co_name) for _, (frame, line) in last]
    return ["Traceback (most recent call last):", *frames]


@lru_cache(maxsize=1024)
def _frame(file: str, line: int, function: str) -> str:
    """Where it is, and its line of code."""
    try:
        code = linecache.getline(file, line)[:LONGEST_PART].strip()
    except Exception:  # a file that is no source
        code = ""
    shown = f'  File "{file[-LONGEST_PART:]}", line {line}, in {function[:LONGEST_PART]}'
    return f"{shown}\n    {redact_string(code)}" if code else shown


def record_error(span: Span, facts: ErrorFields) -> None:
    """Marks the span as failed and adds the event `exception` to it, with the facts of the log line."""
    span.set_status(Status(StatusCode.ERROR, facts["message"]))
    span.set_attribute("error.type", facts["type"])
    span.add_event(
        "exception",
        {
            "exception.type": facts["type"],
            "exception.message": facts["message"],
            "exception.stacktrace": facts["stack"],
        },
    )
