"""One command at a time starts, stops or removes the stack of a checkout: a second one says whom it waits for."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from stack.errors import StackError
from stack.report import say
from stack.settings import Settings


@contextlib.contextmanager
def alone(settings: Settings, verb: str) -> Generator[None]:
    """Hold the lock of the state folder. The system gives it back when the process ends, however that happens."""
    settings.make_state()
    try:
        with (settings.state / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                say(f"{lock.read() or 'Another command'} is already at work on this stack: waiting until it is done")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(f"make {verb} (process {os.getpid()})")
            lock.flush()
            yield
    except PermissionError as error:
        owner = Path(error.filename).parent.owner()
        raise StackError(
            f"{error.filename} cannot be written: it belongs to {owner}. Continue as {owner}, or remove "
            f"{settings.state} as {owner} or root (`make clean`)."
        ) from error
