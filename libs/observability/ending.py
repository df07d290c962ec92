"""Finishing what waits, at the end of a program too, without waiting for what may never come."""

import threading
from collections.abc import Callable


def finish_within(seconds: float, work: Callable[[], object]) -> bool:
    """Runs `work` on a thread of its own; False if that takes longer than the seconds, and then it goes on.

    An interpreter that is ending may start no thread any more (Python 3.12). Then the caller's thread does the work.
    """
    # A daemon thread, since work that hangs must not hold up the end of the process.
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        work()
        return True
    thread.join(seconds)
    return not thread.is_alive()
