"""The ports of this machine that lead into the cluster: a `kubectl port-forward` for each container, kept by supervisord."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path

import psutil

from stack.kubernetes import cluster
from stack.local import compose
from stack.local.compose import Port
from stack.settings import Settings

CONFIGURATION = """\
[supervisord]
identifier=all-erp
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
{user}
"""
# It ends with the pod that it leads to: a second later the next one leads to the pod that has taken its place.
PROGRAM = """
[program:{name}]
command=sh -c {command}
startsecs=0
autorestart=true
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={folder}/{name}.out
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=0
"""


def wanted(names: Collection[str]) -> Iterator[Port]:
    """The ports of these containers that compose publishes too. A port-forward carries TCP only."""
    shown = [each for each in compose.ports() if each not in compose.OF_JAEGER]
    return (each for each in shown if each.container in names and each.kind == socket.SOCK_STREAM)


def start(settings: Settings, names: Collection[str]) -> None:
    """Start them, if they do not run as they should."""
    text = _configuration(settings, names)
    file = _file(settings)
    if is_running(settings) and file.read_text() == text:
        return
    stop(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    subprocess.run([sys.executable, "-m", "supervisor.supervisord", "-c", str(file)], check=True)


def stop(settings: Settings) -> None:
    """End all of them."""
    if process := _process(settings):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.terminate()
            process.wait(30)


def is_running(settings: Settings) -> bool:
    """Whether they are kept alive."""
    return _process(settings) is not None


def _configuration(settings: Settings, names: Collection[str]) -> str:
    folder = str(_file(settings).parent).replace("%", "%%")
    programs = (
        PROGRAM.format(
            name=name, folder=folder, command=shlex.quote(_command(settings, name, list(ports))).replace("%", "%%")
        )
        for name, ports in groupby(wanted(names), lambda port: port.container)
    )
    return CONFIGURATION.format(folder=folder, user="user=root" if os.geteuid() == 0 else "") + "".join(programs)


def _command(settings: Settings, name: str, ports: list[Port]) -> str:
    pairs = [f"{settings.values[each.variable]}:{each.number}" for each in ports]
    forward = cluster.command(settings, "port-forward", "--address=127.0.0.1", f"service/{name}", *pairs)
    return f"{shlex.join(forward)}; sleep 1"


def _process(settings: Settings) -> psutil.Process | None:
    """The supervisord that has the configuration of this checkout."""
    try:
        process = psutil.Process(int((_file(settings).parent / "supervisord.pid").read_text()))
        return process if str(_file(settings)) in process.cmdline() else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def _file(settings: Settings) -> Path:
    return settings.state / "kubernetes/forwards/supervisord.conf"
