"""What this process may use of the machine: the processors and the memory of its container, never those of the host."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from anyio.to_thread import current_default_thread_limiter

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
MEMORY_SHARE = 0.25
"""Of the memory, for work whose memory is large and known."""
THREADS_EACH = 4
"""Threads for each processor: they wait more than they compute."""


class Capacity(NamedTuple):
    """The processors, at least one, and the bytes of memory, None without a limit."""

    processors: int
    memory: int | None

    def at_once(self, bytes_each: int) -> int:
        """How many computations that need a processor and so many bytes each can run at a time."""
        fit = self.processors if self.memory is None else int(self.memory * MEMORY_SHARE / bytes_each)
        return max(1, min(self.processors, fit))


def capacity(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> Capacity:
    """The limits of this process's control group and of those around it, by version 2 or 1, and its CPU affinity."""
    cpus, bytes_ = [float(_usable_processors())], list[int]()
    for folder in _folders(cgroups, membership):
        for quota, period in (_numbers(folder, "cpu.max"), _numbers(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us")):
            if quota and period and quota > 0:
                cpus.append(quota / period)
        for limit, _ in (_numbers(folder, "memory.max"), _numbers(folder, "memory.limit_in_bytes")):
            if limit:
                bytes_.append(limit)
    return Capacity(max(1, int(min(cpus))), min(bytes_, default=None))


def bound_threads(found: Capacity) -> None:
    """Limit the threads of the running event loop: those of anyio, and those of asyncio, which look up names."""
    threads = THREADS_EACH * found.processors
    limiter = current_default_thread_limiter()
    limiter.total_tokens = min(limiter.total_tokens, threads)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="of the loop"))


def _usable_processors() -> int:
    count = getattr(os, "process_cpu_count", None)  # since Python 3.13
    if count is None and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return (count or os.cpu_count)() or 1


def _folders(cgroups: Path, membership: Path) -> Iterator[Path]:
    """The folders of all control groups that this process is in. In a container its own group may be mounted as the root."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = cgroups / controllers
        own = root / path.lstrip("/")
        yield from (own, *(parent for parent in own.parents if parent.is_relative_to(root)))


def _numbers(folder: Path, *files: str) -> tuple[int, int] | tuple[None, None]:
    """The two numbers in these files; (None, None) for a file that is not there or that says "max"."""
    try:
        found = [int(word) for name in files for word in (folder / name).read_text().split()]
    except (OSError, ValueError):
        return None, None
    return found[0], found[-1]
