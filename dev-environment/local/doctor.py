"""What keeps a stack from starting on this machine, and the cure: `make doctor`, and each `make up` before it starts."""

import shutil
import socket
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from local import engine, parts, processes
from local.settings import DEFAULTS, ROOT, SERVICES, SettingError, Settings

GIGABYTE = 1_000_000_000
# The server's own files take 60 MB, its write-ahead log up to a gigabyte under load.
LEAST_FREE_FOR_LOCAL = GIGABYTE // 2
# The pulled and built images take about 6 GB unpacked; with less than one free, Elasticsearch takes no line.
LEAST_FREE_FOR_IMAGES, LEAST_FREE_FOR_DATA = 8 * GIGABYTE, 2 * GIGABYTE
# Of its limits the whole stack uses about two thirds when nothing is asked of it.
LEAST_SHARE_OF_LIMITS = 0.6
# What Elasticsearch's own check asks for; the newer recommendation is 1048576.
LEAST_MAPS, RECOMMENDED_MAPS = 262_144, 1_048_576


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. An `error` keeps the stack from starting; `cure` says what to do."""

    state: Literal["ok", "warning", "error"]
    what: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.what}. {self.cure}" if self.cure else self.what


def require(findings: Iterable[Finding]) -> list[Finding]:
    """The warnings among them; `SettingError` with every error and its cure, if there is any."""
    found = list(findings)
    if errors := [str(each) for each in found if each.state == "error"]:
        raise SettingError("\n".join(errors))
    return [each for each in found if each.state == "warning"]


def for_local(settings: Settings) -> Iterator[Finding]:
    """What local mode needs: free ports and room."""
    if (lacking := engine.lacking()) and shutil.which("docker"):
        yield Finding("warning", f"Docker cannot be used: {lacking}", "Then `make up` can bring the watchers too.")
    wanted = {service.port_variable: service.name for service in SERVICES} | {"POSTGRES_PORT": "PostgreSQL"}
    yield from _ports({name: (settings.port(name), what) for name, what in wanted.items()}, socket.SOCK_STREAM)
    free, folder = _free(settings.state)
    if free < LEAST_FREE_FOR_LOCAL:
        yield Finding(
            "error", f"Only {free // 1_000_000} MB are free in {folder}, and {LEAST_FREE_FOR_LOCAL // 1_000_000} are needed",
            "Make room; `make clean` removes the stack's own data, logs and traces.",
        )  # fmt: skip
    else:
        yield Finding("ok", f"{free / GIGABYTE:.1f} GB are free in {folder}")


def for_docker(settings: Settings, names: Sequence[str], model: Mapping[str, Any]) -> Iterator[Finding]:
    """What Docker mode needs to run these containers: memory, room, ports, and files that they can read."""
    host = engine.info()
    yield Finding("ok", f"Docker Engine {host['ServerVersion']} on {host['OperatingSystem']} answers, with compose")
    yield memory(host["MemTotal"], names, model)
    missing = [
        image for image in dict.fromkeys(model[name]["image"] for name in names) if not engine.has_image(image)
    ]  # fmt: skip
    if missing:
        yield Finding(
            "ok",
            f"{len(missing)} of the images are not here yet: pulling and building them takes minutes, and what is interrupted is continued by the next `make up`",
        )
    yield from _room(Path(host["DockerRootDir"]), first=bool(missing))
    if "elasticsearch" in names:
        yield from maps(Path("/proc/sys/vm/max_map_count"))
    yield from _ports_of_containers(settings, names, model)
    yield readable(names, model)


def memory(total: int, names: Sequence[str], model: Mapping[str, Any]) -> Finding:
    """Whether `total` bytes are enough for these containers, judged by their limits."""
    limits = sum(
        int(model[name]["deploy"]["resources"]["limits"]["memory"]) for name in parts.long_running(model) & {*names}
    )
    what = f"The engine has {total / GIGABYTE:.1f} GB of memory, and its containers may use {limits / GIGABYTE:.1f} GB"
    cure = (
        "Give Docker more (Docker Desktop: Settings, Resources), or leave parts out: "
        'make up PARTS="metrics traces" does without Elasticsearch, Logstash and Kibana.'
    )
    if total < limits * LEAST_SHARE_OF_LIMITS:
        return Finding("error", f"{what}: containers would be killed (exit code 137)", cure)
    return Finding("warning", what, cure) if total < limits else Finding("ok", what)


def _room(folder: Path, *, first: bool) -> Iterator[Finding]:
    try:
        if not folder.exists():  # the engine runs in a machine of its own, as Docker Desktop's does
            return
    except PermissionError:  # it is there, and is root's own
        folder = folder.parents[-2]
    free, folder = _free(folder)
    least = LEAST_FREE_FOR_IMAGES if first else LEAST_FREE_FOR_DATA
    if free < least:
        cure = "Make room; `docker system df` shows what Docker holds, `make clean` removes what is the stack's."
        state = "error" if free < LEAST_FREE_FOR_DATA else "warning"
        yield Finding(
            state, f"Only {free / GIGABYTE:.1f} GB are free in {folder}, {least / GIGABYTE:.0f} are wanted", cure
        )
    else:
        yield Finding("ok", f"{free / GIGABYTE:.1f} GB are free in {folder}")


def maps(file: Path) -> Iterator[Finding]:
    """Whether a process may have as many memory maps as Elasticsearch uses; nothing where the system has no `file`."""
    if not file.exists():
        return
    maps = int(file.read_text())
    if maps < LEAST_MAPS:
        yield Finding(
            "warning",
            f"vm.max_map_count is {maps}, and Elasticsearch wants at least {LEAST_MAPS}",
            f"sudo sysctl -w vm.max_map_count={RECOMMENDED_MAPS} (and in /etc/sysctl.d to keep it).",
        )
    else:
        yield Finding("ok", f"vm.max_map_count is {maps}")


def _ports_of_containers(settings: Settings, names: Sequence[str], model: Mapping[str, Any]) -> Iterator[Finding]:
    ours = {each["Service"] for each in engine.containers() if each["State"] == "running"}
    variables = {settings.values[name]: name for name in DEFAULTS if name.endswith("_PORT")}
    for protocol, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
        wanted = {
            variables.get(port["published"], "its port"): (int(port["published"]), name)
            for name in names
            if name not in ours
            for port in model[name].get("ports", ())
            if port["protocol"] == protocol
        }
        yield from _ports(wanted, kind)


def _ports(wanted: Mapping[str, tuple[int, str]], kind: socket.SocketKind) -> Iterator[Finding]:
    taken = {variable: each for variable, each in wanted.items() if not processes.is_free(each[0], kind)}
    for variable, (port, what) in taken.items():
        airplay = " On macOS that may be AirPlay: System Settings, General, AirDrop & Handoff, AirPlay Receiver."
        yield Finding(
            "error",
            f"Port {port}, wanted for {what}, is used by {processes.holder(port, kind)}",
            f"Stop that, or set {variable} in .env to a free port."
            + (airplay if sys.platform == "darwin" and port in (5000, 7000) else ""),
        )
    if wanted and not taken:
        yield Finding("ok", f"The ports are free: {', '.join(str(port) for port, _ in sorted(wanted.values()))}")


def readable(names: Sequence[str], model: Mapping[str, Any]) -> Finding:
    """Containers run as users of their own, so what is mounted into them must be open to all."""
    mounts = [mount for name in names for mount in model[name].get("volumes", ()) if mount["type"] == "bind"]
    ours = {path for mount in mounts if (path := Path(mount["source"])).is_relative_to(ROOT)}
    for file in sorted(each for path in ours for each in (path, *path.rglob("*"))):
        if file.exists() and not file.stat().st_mode & stat.S_IROTH:
            cure = "chmod -R o+rX dev-environment"
            return Finding("error", f"{file} is closed to other users, and containers must read it", cure)
    return Finding("ok", "The containers can read their configuration")


def _free(folder: Path) -> tuple[int, Path]:
    try:
        return shutil.disk_usage(folder).free, folder
    except (FileNotFoundError, PermissionError):
        return _free(folder.parent)


def report(findings: Iterable[Finding]) -> bool:
    """Print every finding; returns whether the stack can start."""
    marks = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
    good = True
    for each in findings:
        print(f"{marks[each.state]}  {each}", flush=True)
        good = good and each.state != "error"
    return good
