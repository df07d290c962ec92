"""What a forked child has to renew: locks that another thread may have held, threads that it does not have."""

import os
from collections.abc import Callable


def in_child(renew: Callable[[], None]) -> None:
    """Calls `renew` in each forked child, before anything else runs there; never where there are no forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
