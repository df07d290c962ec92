"""Finishing what waits, at the end of a program too, without waiting for what may never come."""

import threading
from collections.abc import Callable


def finish_within(seconds: float, work: Callable[[], object]) -> bool:
    """Runs `work` on a thread of its own; False if that takes longer than the seconds, and then it goes on."""
    thread = _start(work)
    if thread is not None:
        thread.join(seconds)
    return thread is None or not thread.is_alive()


def side_by_side(*works: Callable[[], object]) -> None:
    """Runs each work on a thread of its own, and returns when all have finished."""
    for thread in [_start(work) for work in works]:
        if thread is not None:
            thread.join()


def _start(work: Callable[[], object]) -> threading.Thread | None:
    """The thread that does the work; None if the caller's thread has done it.

    An interpreter that is ending may start no thread any more (Python 3.12).
    """
    # A daemon thread, since work that hangs must not hold up the end of the process.
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        work()
        return None
    return thread
