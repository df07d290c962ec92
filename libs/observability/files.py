"""Lines on their way to files and the console: a bounded buffer and one thread that writes, so that no event loop waits for a disk."""

import atexit
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from .ending import finish_within
from .forks import in_child

# With a longer pause so much waits under load that the allocator keeps requesting and returning memory.
PAUSE_SECONDS = 0.05


class Sink(Protocol):
    """Where bytes end up. `write` never raises: it returns how many whole lines could not be written."""

    def write(self, data: bytes) -> int: ...


class RotatingFile:
    """A file that is renamed when it is full, so that a follower who knows it by its inode loses nothing.

    `combined.log` becomes `combined.log.00000042.20261124T081500.17`: the number says which is newer, since a clock may
    be set back. The oldest beyond `kept` are removed. Each write is one append of whole lines. Two processes that share a file lose no line either: each sees that the name has moved
    on and follows it.
    """

    def __init__(self, path: Path, max_bytes: int, kept: int) -> None:
        """Creates the folder and opens the file; raises `OSError` when that is not possible."""
        self.path = path
        self.max_bytes = max_bytes
        self.kept = kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes) -> int:
        written = 0
        try:
            self._follow_name()
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            return self._give_up(data, written)
        return 0

    def _follow_name(self) -> None:
        ours = os.fstat(self._fd)
        try:
            named = os.stat(self.path)
            moved = (named.st_ino, named.st_dev) != (ours.st_ino, ours.st_dev)
        except FileNotFoundError:
            moved = True
            self.path.parent.mkdir(parents=True, exist_ok=True)
        if not moved and ours.st_size >= self.max_bytes:
            self._rename()
            moved = True
        if moved:
            old = self._fd
            self._open()
            os.close(old)

    def _rename(self) -> None:
        earlier = rotated(self.path)
        number = _number(self.path, earlier[-1]) + 1 if earlier else 1
        # The name holds the process id, since two processes may rename at the same time.
        target = self.path.with_name(f"{self.path.name}.{number:08d}.{datetime.now(UTC):%Y%m%dT%H%M%S}.{os.getpid()}")
        with suppress(FileNotFoundError):  # another process has just renamed it
            self.path.rename(target)
        for old in rotated(self.path)[: -self.kept]:
            old.unlink(missing_ok=True)

    def _give_up(self, data: bytes, written: int) -> int:
        """Removes the torn line at the end, so that the next one begins a line of its own; counts what is lost."""
        whole = data.rfind(b"\n", 0, written) + 1
        with suppress(OSError):
            if torn := written - whole:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - torn)
        return data.count(b"\n", whole)

    def close(self) -> None:
        os.close(self._fd)


def occupy_standard_descriptors() -> None:
    """Opens the null device in place of standard streams that are closed, whose numbers the next files would get."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def rotated(path: Path) -> list[Path]:
    """The renamed predecessors of `path`, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.[0-9]*"), key=lambda each: (_number(path, each), each.name))


def _number(path: Path, renamed: Path) -> int:
    """Which of the renamed files it is; 0 for a name without a number."""
    number = renamed.name.removeprefix(f"{path.name}.").partition(".")[0]
    return int(number) if number.isdecimal() else 0


class Stream:
    """A file descriptor that is already open, such as standard error, as long as it is not closed."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self._file = os.fstat(descriptor)

    def write(self, data: bytes) -> int:
        written = 0
        try:
            # One that was closed is the next file's or connection's, which Python opens as not inheritable.
            if not (os.path.samestat(self._file, os.fstat(self._fd)) or os.get_inheritable(self._fd)):
                return data.count(b"\n")
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            return data.count(b"\n", data.rfind(b"\n", 0, written) + 1)
        return 0


class LineWriter:
    """Takes lines from any thread and writes them in order.

    Until `buffer` is called, and after as many calls of `unbuffer`, a line is written by its caller before `add`
    returns: a program that dies at start or is killed at its end loses nothing. In between a daemon thread writes, at
    once for urgent lines and every 50 ms for others; what exceeds `max_bytes` is dropped. `on_loss` hears how many
    lines were lost.
    """

    def __init__(self, max_bytes: int, on_loss: Callable[[int], None]) -> None:
        self._max_bytes = max_bytes
        self._on_loss = on_loss
        self._thread: threading.Thread | None = None
        self._event_loops = 0
        self._reset()
        in_child(self._after_fork)
        atexit.register(self.write_through)

    def _reset(self) -> None:
        self._waiting: list[tuple[Sink, bytes]] = []
        self._waiting_bytes = 0
        self._stuck = False  # whether the last flush was held up
        # Reentrant: a finalizer may log while this very thread holds them.
        self._lock = threading.RLock()
        self._writing = threading.RLock()
        self._some = threading.Event()
        self._urgent = threading.Event()

    def _after_fork(self) -> None:
        buffered, self._thread = self._thread is not None, None
        self._reset()  # the parent still has the lines and the thread
        if buffered:
            self._start()

    def add(self, sink: Sink, lines: bytes, urgent: bool = False) -> None:
        """Takes lines that belong together, each of which ends with a newline: all of them, or none.

        When nothing else waits they are taken whatever their size.
        """
        with self._lock:
            waiting = self._waiting
            first = not waiting
            fits = first or self._waiting_bytes + len(lines) <= self._max_bytes
            if fits:
                waiting.append((sink, lines))
                self._waiting_bytes += len(lines)
        if not fits:
            self._on_loss(lines.count(b"\n"))
        if self._thread is None:
            self._write_waiting(is_patient=not self._stuck)
        elif urgent:
            self._urgent.set()
            self._some.set()
        elif first:
            self._some.set()

    def buffer(self) -> None:
        """From now on a thread writes: an event loop is about to run."""
        with self._lock:
            self._event_loops += 1
            if self._thread is None:
                self._start()

    def unbuffer(self) -> None:
        """Writes what is waiting; where no other event loop runs, from now on each caller writes for itself."""
        with self._lock:
            self._event_loops -= 1
            if not self._event_loops:
                self._stop()
        self.flush()

    def write_through(self) -> None:
        """Writes what is waiting; from now on each caller writes for itself, whatever runs: the program ends."""
        with self._lock:
            self._stop()
        self.flush()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._thread = None
        self._urgent.set()
        self._some.set()

    def flush(self, seconds: float = 2.0) -> None:
        """Writes what is waiting, or gives up after `seconds` because a disk or a pipe does not take it."""
        self._stuck = not finish_within(seconds, self._write_waiting)

    def _work(self) -> None:
        while self._thread is threading.current_thread():
            self._some.wait()
            self._urgent.wait(PAUSE_SECONDS)
            self._some.clear()
            self._urgent.clear()
            self._write_waiting()

    def _write_waiting(self, *, is_patient: bool = True) -> None:
        """Writes what is waiting; without patience, drops it while another thread is held up by a disk or a pipe."""
        if not self._writing.acquire(blocking=is_patient):
            self._on_loss(sum(lines.count(b"\n") for _, lines in self._take()))
            return
        try:
            taken = self._take()
            lines: dict[Sink, list[bytes]] = {}
            for sink, line in taken:
                lines.setdefault(sink, []).append(line)
            for sink, several in lines.items():
                if lost := sink.write(b"".join(several)):
                    self._on_loss(lost)
        finally:
            self._writing.release()

    def _take(self) -> list[tuple[Sink, bytes]]:
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._waiting_bytes = 0
        return taken
