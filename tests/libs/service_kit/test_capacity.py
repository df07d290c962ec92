"""How much a process does at a time follows from the limits of its container, whatever the host has."""

import asyncio
import os
import threading
from pathlib import Path

import pytest
from anyio.to_thread import current_default_thread_limiter

from libs.service_kit.capacity import THREADS_EACH, Capacity, bound_threads, capacity

MIB = 1024 * 1024
ARGON2 = 19 * MIB
UNLIMITED = str(2**63 - 4096)


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with 64 processors, all of which the process may use."""
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


GROUPS = {
    "nothing": ("0::/", {}, (64, None)),
    "no limits": ("0::/", {"cpu.max": "max 100000", "memory.max": "max"}, (64, None)),
    "compose": ("0::/", {"cpu.max": "max 100000", "memory.max": str(256 * MIB)}, (64, 256 * MIB)),
    "two processors": ("0::/", {"cpu.max": "200000 100000", "memory.max": "max"}, (2, None)),
    "half a processor": ("0::/", {"cpu.max": "50000 100000"}, (1, None)),
    "a half more": ("0::/", {"cpu.max": "250000 100000"}, (2, None)),
    "a limit of the group around": (
        "0::/pod/container",
        {"pod/cpu.max": "300000 100000", "pod/container/cpu.max": "max 100000", "pod/memory.max": "1000"},
        (3, 1000),
    ),
    "the smaller of two": (
        "0::/pod/container",
        {"pod/memory.max": "2000", "pod/container/memory.max": "1000", "pod/cpu.max": "400000 100000"},
        (4, 1000),
    ),
    "a group of somebody else": ("0::/a", {"b/cpu.max": "100000 100000"}, (64, None)),
    "its own group is the root": ("0::/docker/abc", {"cpu.max": "200000 100000", "memory.max": "1000"}, (2, 1000)),
    "version 1": (
        "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc",
        {
            "memory/docker/abc/memory.limit_in_bytes": "1000",
            "memory/memory.limit_in_bytes": UNLIMITED,
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "150000",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "50000",
        },
        (3, 1000),
    ),
    "version 1 without a quota": (
        "3:cpu,cpuacct:/",
        {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
        (64, None),
    ),
}


@pytest.mark.parametrize(("member", "files", "expected"), GROUPS.values(), ids=GROUPS)
def test_the_limits_are_those_of_the_control_groups(tmp_path, member, files, expected):
    (tmp_path / "self").write_text(f"{member}\n")
    assert capacity(write(tmp_path / "cgroup", files), tmp_path / "self") == expected


def test_a_system_without_control_groups_has_its_processors(tmp_path):
    assert capacity(tmp_path, tmp_path / "missing") == (64, None)


def test_processors_that_the_process_may_not_use_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.delattr(os, "process_cpu_count")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(allowed)])
    try:
        assert capacity(tmp_path, tmp_path / "missing").processors == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Capacity(64, 256 * MIB), 3),
        (Capacity(2, 256 * MIB), 2),
        (Capacity(64, None), 64),
        (Capacity(64, 64 * MIB), 1),
        (Capacity(8, 4096 * MIB), 8),
    ],
)
def test_as_many_computations_run_as_there_are_processors_and_fit_into_a_quarter_of_the_memory(found, expected):
    assert found.at_once(ARGON2) == expected


def test_the_threads_of_a_loop_follow_the_processors():
    async def threads() -> tuple[float, int]:
        bound_threads(Capacity(2, None))
        release = threading.Event()
        held = [asyncio.get_running_loop().run_in_executor(None, release.wait) for _ in range(50)]
        started = sum(thread.name.startswith("of the loop") for thread in threading.enumerate())
        release.set()
        await asyncio.gather(*held)
        return current_default_thread_limiter().total_tokens, started

    assert asyncio.run(threads()) == (2 * THREADS_EACH, 2 * THREADS_EACH)
