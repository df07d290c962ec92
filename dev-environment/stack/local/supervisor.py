"""supervisord, which keeps PostgreSQL, services, probe, page and watchers alive: its configuration, and calls to its RPC interface."""

import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from stack import environment, postgres
from stack.local import compose, watchers
from stack.services import Program
from stack.settings import ROOT, Settings

# The path of a Unix socket may have about 100 bytes, and supervisord appends a process id to it for a moment.
LONGEST_SOCKET_PATH = 80
SECONDS_TO_STOP = 30
"""How long a service may take to stop, as in compose (`stop_grace_period`), whose files need not be read for it."""

# PostgreSQL starts first. After a kill it refuses to start until the children of the killed server have ended, hence
# its many tries. A service counts as started after ten seconds, since on a slow machine one that cannot start takes some
# to fail; one that ends sooner is tried as often as PostgreSQL. All services are one group, so that they stop at the same
# time instead of one after another. The watchers stop after them, so that Jaeger gets the last spans.
CONFIGURATION = """\
[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
identifier=all-erp
directory={root}
logfile={run}/supervisord.log
pidfile={run}/supervisord.pid
childlogdir={run}
logfile_maxbytes=5MB
logfile_backups=1
{user}

[program:postgres]
command={postgres}
directory=/
{postgres_user}
priority=1
stopsignal=INT
stopwaitsecs=20
startsecs=1
startretries=20
redirect_stderr=true
stdout_logfile={run}/postgres.out
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1

[group:services]
programs={names}
priority=10
"""
WATCHERS = """
[group:watchers]
programs={names}
priority=5
"""
PROGRAM = """
[program:{name}]
command={python} -m stack.local.launch {name}
autostart=false
autorestart=true
startsecs=10
startretries=20
stopsignal=TERM
stopwaitsecs={seconds_to_stop}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={run}/{name}.out
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1
"""


def configuration(settings: Settings, server: postgres.Server) -> str:
    """The content of supervisord.conf."""
    owner = postgres.account(server.data)
    common = {"run": _escaped(settings.run), "root": _escaped(ROOT), "python": _escaped(shlex.quote(sys.executable))}
    head = CONFIGURATION.format(
        **common,
        socket=_escaped(socket(settings)),
        user="user=root" if os.geteuid() == 0 else "",
        postgres=_escaped(shlex.join(postgres.command(server))),
        postgres_user=f"user={owner.pw_name}" if owner else "",
        names=",".join(each.name for each in settings.local_programs),
    )
    found = watchers.started(settings)
    group = WATCHERS.format(names=",".join(each.name for each in found)) if found else ""
    seconds = {each.name: compose.seconds_to_stop(each.name) for each in found}
    programs = (
        PROGRAM.format(**common, name=each.name, seconds_to_stop=seconds.get(each.name, SECONDS_TO_STOP))
        for each in (*settings.local_programs, *found)
    )
    return head + group + "".join(programs)


def start(settings: Settings, server: postgres.Server) -> None:
    """Start supervisord, and with it PostgreSQL; the services wait for `start_service`."""
    settings.run.mkdir(parents=True, exist_ok=True)
    socket(settings).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = settings.run / "supervisord.conf"
    file.write_text(configuration(settings, server))
    file.chmod(0o600)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)]
    subprocess.run(command, env=environment.from_shell(), check=True)


def socket(settings: Settings) -> Path:
    """Where supervisord listens: in the state folder or, if the path is too long, in a temporary folder of this user."""
    wanted = settings.run / "supervisor.sock"
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    name = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"all-erp-{os.getuid()}-{name}" / "supervisor.sock"


def is_running(settings: Settings) -> bool:
    """Whether supervisord answers."""
    try:
        return _call(settings, "getState")["statename"] == "RUNNING"
    except OSError:
        return False


def states(settings: Settings) -> dict[str, dict[str, Any]]:
    """What supervisord knows about each program, by its name: `statename`, `pid`, `start`, `description` …"""
    return {each["name"]: each for each in _call(settings, "getAllProcessInfo")}


def start_service(settings: Settings, service: Program) -> None:
    """Start a program that does not run; does not wait until it is up."""
    _start(settings, service.name)


def start_postgres(settings: Settings) -> None:
    """Start PostgreSQL, if it was stopped by its own means; does not wait until it answers."""
    _start(settings, "postgres")


def _start(settings: Settings, name: str) -> None:
    try:
        _call(settings, "startProcess", f"{states(settings)[name]['group']}:{name}", False)
    except Fault as fault:
        if "ALREADY_STARTED" not in fault.faultString:
            raise


def stop_services(settings: Settings, services: Sequence[Program]) -> None:
    """Stop programs and wait until they have ended."""
    known = states(settings)
    for service in services:
        try:
            _call(settings, "stopProcess", f"{known[service.name]['group']}:{service.name}", False)
        except Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise
    while any(states(settings)[service.name]["statename"] == "STOPPING" for service in services):
        time.sleep(0.05)


def shut_down(settings: Settings, seconds: float = 65.0) -> None:
    """Stop the services, then the watchers, PostgreSQL and supervisord, and wait until all of them have ended.

    These may take 10, 30 and 20 seconds, one after another.
    """
    with contextlib.suppress(OSError, psutil.NoSuchProcess, psutil.TimeoutExpired):  # it may be ending by itself
        process = psutil.Process(_call(settings, "getPID"))
        _call(settings, "shutdown")
        process.wait(seconds)


def _call(settings: Settings, method: str, *arguments: object) -> Any:
    transport = SupervisorTransport(None, None, f"unix://{socket(settings)}")
    with ServerProxy("http://localhost", transport=transport) as proxy:
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:  # no question is answered any more
                raise ConnectionRefusedError("supervisord is shutting down") from fault
            raise


def _escaped(value: object) -> str:
    """A value for supervisord.conf, where `%` begins an expansion."""
    return str(value).replace("%", "%%")
