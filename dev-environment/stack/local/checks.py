"""What local mode needs of this machine: free ports and room on the disk."""

import re
import shutil
import socket
from collections.abc import Iterator

from stack import doctor
from stack.docker import engine
from stack.doctor import GIGABYTE, Finding
from stack.local import watchers
from stack.services import PAGE
from stack.settings import ROOT, Settings

# The server's own files take 60 MB, its write-ahead log up to a gigabyte under load.
LEAST_FREE = GIGABYTE // 2
# Prometheus keeps 4 GB at most (docker-compose.devops.yml), Jaeger three days of spans.
WANTED_BY_WATCHERS = 5 * GIGABYTE
# In a configuration file of supervisord `%` is expanded, in places twice, and a comment begins within a line.
UNREADABLE, UNREADABLE_IN_WORDS = re.compile(r"%|\s[#;]"), "%, and without # or ; behind a blank"


def findings(settings: Settings) -> Iterator[Finding]:
    """Check the machine."""
    if (reason := engine.why_unavailable()) and shutil.which("docker"):
        yield Finding("warning", f"Docker cannot be used: {reason}", "With it, `make up` can start the watchers too.")
    found = watchers.found(settings)
    wanted = {each.port_variable: (settings.port(each.port_variable), each.name) for each in settings.local_programs}
    if watchers.GRAFANA in found:  # the page makes room for it
        del wanted[PAGE.port_variable]
    wanted["POSTGRES_PORT"] = (settings.port("POSTGRES_PORT"), "PostgreSQL")
    yield from doctor.ports(wanted, socket.SOCK_STREAM)
    if found:
        names = ", ".join(each.name for each in found)
        yield Finding("ok", f"On the PATH are watchers, which run beside the services unless WATCHERS=none: {names}")
        for each in found:
            yield from watchers.obstacles(each, settings)
    for path in (ROOT, settings.state):
        if UNREADABLE.search(str(path)):
            yield Finding(
                "error", f"supervisord cannot read the path {path}", f"Take one without {UNREADABLE_IN_WORDS}."
            )
    free, folder = doctor.free_bytes(settings.state)
    only = f"Only {free // 1_000_000} MB are free in {folder}, and"
    cure = "Make room; `make clean` removes the stack's own data, logs and traces."
    if free < LEAST_FREE:
        yield Finding("error", f"{only} {LEAST_FREE // 1_000_000} are needed", cure)
    elif found and free < WANTED_BY_WATCHERS:
        what = f"{only} {WANTED_BY_WATCHERS // 1_000_000} may be needed with the watchers"
        yield Finding("warning", what, f"{cure} WATCHERS=none leaves the watchers out.")
    else:
        yield Finding("ok", f"{free / GIGABYTE:.1f} GB are free in {folder}")
