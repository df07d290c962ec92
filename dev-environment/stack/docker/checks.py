"""What Docker mode needs of this machine: memory, room on the disk, free ports, and files that containers can read."""

import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stack import doctor
from stack.docker import engine, parts
from stack.doctor import GIGABYTE, Finding
from stack.settings import DEFAULTS, ROOT, Settings

# The pulled and built images take about 6 GB unpacked. With less than one gigabyte free, Elasticsearch accepts no lines.
LEAST_FREE_FOR_IMAGES, LEAST_FREE_FOR_DATA = 8 * GIGABYTE, 2 * GIGABYTE
# An idle stack uses about two thirds of its containers' limits.
LEAST_SHARE_OF_LIMITS = 0.6
OTHER_NODES = {"elasticsearch-2", "elasticsearch-3"}
# Elasticsearch's own check wants the first number; its newer recommendation is the second.
LEAST_MAPS, RECOMMENDED_MAPS = 262_144, 1_048_576


def findings(settings: Settings, names: Sequence[str], model: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the machine for these containers of compose's `model`."""
    host = engine.info()
    yield Finding("ok", f"Docker Engine {host['ServerVersion']} on {host['OperatingSystem']} answers, with compose")
    yield memory(host["MemTotal"], names, model)
    images = dict.fromkeys(model[name]["image"] for name in names)
    missing = [image for image in images if not engine.has_image(image)]
    if missing:
        yield Finding(
            "ok",
            f"{len(missing)} of the images are not here yet: pulling and building them takes minutes; "
            "if it is interrupted, the next `make up` continues",
        )
    yield from _room(Path(host["DockerRootDir"]), needs_images=bool(missing))
    if "elasticsearch" in names:
        yield from maps(Path("/proc/sys/vm/max_map_count"))
        yield from nodes(names, model)
    yield from _ports(settings, names, model)
    yield readable(names, model)


def memory(total: int, names: Sequence[str], model: Mapping[str, Any]) -> Finding:
    """Whether `total` bytes are enough for these containers, judged by their limits."""
    limits = sum(
        int(model[name]["deploy"]["resources"]["limits"]["memory"]) * parts.replicas(model[name])
        for name in parts.long_running(model) & {*names}
    )
    what = f"The engine has {total / GIGABYTE:.1f} GB of memory, and its containers may use {limits / GIGABYTE:.1f} GB"
    cure = (
        "Give Docker more (Docker Desktop: Settings, Resources), or leave parts out: "
        'make up PARTS="metrics traces" starts no Elasticsearch, Logstash and Kibana, and PARTS="metrics traces loki" keeps '
        "the log lines in Loki, which takes less."
    )
    if total < limits * LEAST_SHARE_OF_LIMITS:
        return Finding("error", f"{what}: containers would be killed (exit code 137)", cure)
    return Finding("warning", what, cure) if total < limits else Finding("ok", what)


def maps(file: Path) -> Iterator[Finding]:
    """Whether a process may have as many memory maps as Elasticsearch uses; nothing where the system has no `file`."""
    if not file.exists():
        return
    number = int(file.read_text())
    if number < LEAST_MAPS:
        yield Finding(
            "warning",
            f"vm.max_map_count is {number}, and Elasticsearch wants at least {LEAST_MAPS}",
            f"sudo sysctl -w vm.max_map_count={RECOMMENDED_MAPS} (and in /etc/sysctl.d to keep it).",
        )
    else:
        yield Finding("ok", f"vm.max_map_count is {number}")


def nodes(names: Sequence[str], model: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether Elasticsearch, which does not run, can start without the two nodes that it may have had."""
    if OTHER_NODES & {*names} or "elasticsearch" in engine.running():
        return
    if engine.volume_has("elasticsearch", "one-of-three", model["elasticsearch"]["image"]):
        volumes = " ".join(
            engine.project()["volumes"][name]["name"] for name in ("elasticsearch", *sorted(OTHER_NODES))
        )
        yield Finding(
            "error",
            "Elasticsearch was stopped as one of three nodes, and alone it elects nobody",
            "Start the three, `make up PARTS=ha`, and then what you want: that moves the log lines to one node. Or give the "
            f"log lines up: docker volume rm {volumes}",
        )


def readable(names: Sequence[str], model: Mapping[str, Any]) -> Finding:
    """Whether all users can read the mounted files: containers run as users of their own."""
    mounts = [mount for name in names for mount in model[name].get("volumes", ()) if mount["type"] == "bind"]
    ours = {path for mount in mounts if (path := Path(mount["source"])).is_relative_to(ROOT)}
    for file in sorted(each for path in ours for each in (path, *path.rglob("*"))):
        if file.exists() and not file.stat().st_mode & stat.S_IROTH:
            cure = "chmod -R o+rX dev-environment"
            return Finding("error", f"{file} is closed to other users, and containers must read it", cure)
    return Finding("ok", "The containers can read their configuration")


def _room(folder: Path, *, needs_images: bool) -> Iterator[Finding]:
    try:
        if not folder.exists():  # the engine runs in a virtual machine, as Docker Desktop's does
            return
    except PermissionError:  # the folder exists, and only root can look into it
        folder = folder.parents[-2]
    free, folder = doctor.free_bytes(folder)
    least = LEAST_FREE_FOR_IMAGES if needs_images else LEAST_FREE_FOR_DATA
    if free < least:
        yield Finding(
            "error" if free < LEAST_FREE_FOR_DATA else "warning",
            f"Only {free / GIGABYTE:.1f} GB are free in {folder}, {least / GIGABYTE:.0f} are wanted",
            "Make room; `docker system df` shows what Docker holds, `make clean` removes what is the stack's.",
        )
    else:
        yield Finding("ok", f"{free / GIGABYTE:.1f} GB are free in {folder}")


def _ports(settings: Settings, names: Sequence[str], model: Mapping[str, Any]) -> Iterator[Finding]:
    running = [each for each in engine.containers() if each["State"] == "running"]
    ours = {each["Service"] for each in running}
    # One of ours may hand its port on to another one.
    held = {port["PublishedPort"] for each in running for port in each["Publishers"] or ()}
    variables = {settings.values[name]: name for name in DEFAULTS if name.endswith("_PORT")}
    for protocol, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
        wanted = {
            variables.get(port["published"], "its port"): (int(port["published"]), name)
            for name in names
            if name not in ours
            for port in model[name].get("ports", ())
            if port["protocol"] == protocol and int(port["published"]) not in held
        }
        yield from doctor.ports(wanted, kind)
