"""Which processes run and who holds a port, as far as the operating system tells."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def running() -> dict[int, list[str]]:
    """The command line of every process, by its id."""
    if (PROC / "self" / "cmdline").exists():
        found = {}
        for folder in PROC.glob("[0-9]*"):
            try:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            except OSError:  # it ended meanwhile
                continue
        return found
    listed = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=False).stdout
    return {int(line.split()[0]): line.split()[1:] for line in listed.splitlines() if line.strip()}


def of_stack(state: Path) -> list[int]:
    """The ids of the services and the supervisord that were started for this state folder, supervisord first."""
    supervisor, service = str(state / "run" / "supervisord.conf"), f"all-erp={state}"
    found = running()
    return [pid for mark in (supervisor, service) for pid, line in found.items() if mark in line and pid != os.getpid()]


def end(pids: Iterable[int], seconds: float = 10.0) -> None:
    """Ask processes to end, and end those that have not after `seconds`."""
    left = list(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            _send(pid, number)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            left = [pid for pid in left if _send(pid, 0)]
            time.sleep(0.05)


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket(type=kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                probe.listen(1)
        except OSError:
            return False
    return kind == socket.SOCK_DGRAM or not _answers(port)


def _answers(port: int) -> bool:
    # macOS lets one listen beside a server that listens on all addresses, as AirPlay does.
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def holder(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """Who listens on a port, as well as can be seen: `nginx (process 812)`."""
    has_proc = (PROC / "net" / "tcp").exists()
    pids = _listeners_by_proc(port, kind) if has_proc else _listeners_by_lsof(port, kind)
    commands = running()
    # A command line may hold line breaks: `python -c` with a program.
    named = [f"{' '.join(' '.join(commands.get(pid, ['?'])).split())[:80]} (process {pid})" for pid in pids]
    return ", ".join(named) or "a process that only root can see"


def _listeners_by_proc(port: int, kind: socket.SocketKind) -> list[int]:
    sockets = set()
    # As the kernel numbers them: a TCP socket that listens, a UDP socket that is open.
    name, state = ("tcp", "0A") if kind == socket.SOCK_STREAM else ("udp", "07")
    for table in (PROC / "net" / name, PROC / "net" / f"{name}6"):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            columns = line.split()
            if columns[3] == state and int(columns[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{columns[9]}]")
    found = []
    for folder in PROC.glob("[0-9]*"):
        try:
            if any(os.readlink(entry) in sockets for entry in (folder / "fd").iterdir()):
                found.append(int(folder.name))
        except OSError:  # another user's, or ended meanwhile
            continue
    return found


def _listeners_by_lsof(port: int, kind: socket.SocketKind) -> list[int]:
    which = [f"-iTCP:{port}", "-sTCP:LISTEN"] if kind == socket.SOCK_STREAM else [f"-iUDP:{port}"]
    try:
        listed = subprocess.run(["lsof", "-nP", "-t", *which], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return []
    return [int(pid) for pid in re.findall(r"\d+", listed)]


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
