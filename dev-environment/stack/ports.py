"""Ports of this machine: a free one for the server of a test or a bench, and who holds one that is taken."""

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

# A TCP socket that takes connections, and any UDP socket.
LISTENING = (psutil.CONN_LISTEN, psutil.CONN_NONE)


def _candidates() -> Iterator[int]:
    # Below the range from which systems take the ports of outgoing connections (32768 on Linux): no client may get one
    # between the choice and its use. Each process tries them in an order of its own.
    ports = list(range(20000, 32000))
    random.SystemRandom().shuffle(ports)
    yield from ports


_untried = _candidates()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now; a different one at each call."""
    for port in _untried:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port from 20000 to 32000 is free")


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
    # macOS lets a server listen on 127.0.0.1 while another one, such as AirPlay, listens on all addresses.
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def holder(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """The processes that listen on a port, as far as this user can see them: `nginx (process 812)`."""
    found = _holders(port, kind)
    return ", ".join(f"{_command(process)} (process {process.pid})" for process in found) or (
        "a process that only root can see"
    )


def stack_at(port: int) -> str:
    """The state folder of the stack that listens on a port: of this checkout or, if that does not run, of another one."""
    for process in _holders(port, socket.SOCK_STREAM):
        with contextlib.suppress(psutil.Error):
            for argument in (each for parent in process.parents() for each in parent.cmdline()):
                if argument.endswith("/run/supervisord.conf"):
                    return str(Path(argument).parents[1])
    return ""


def _holders(port: int, kind: socket.SocketKind) -> list[psutil.Process]:
    found = []
    for pid in sorted({pid for pid, each in _connections() if _listens(each, port, kind)}):
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has ended in the meantime holds no port
            found.append(psutil.Process(pid))
    return found


def _listens(connection: Any, port: int, kind: socket.SocketKind) -> bool:
    local = connection.laddr
    return bool(local) and local.port == port and connection.type == kind and connection.status in LISTENING


def _connections() -> Iterator[tuple[int, Any]]:
    """What each process that this user can see is connected to."""
    try:
        yield from ((each.pid, each) for each in psutil.net_connections("inet") if each.pid)
    except psutil.AccessDenied:  # macOS gives the connections of the whole machine to root alone
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # another user's, or ended in the meantime
                yield from ((process.pid, each) for each in process.net_connections("inet"))


def _command(process: psutil.Process) -> str:
    # A command line may hold line breaks: `python -c` with a program.
    try:
        return " ".join(" ".join(process.cmdline()).split())[:80] or process.name()
    except psutil.Error:
        return "?"
