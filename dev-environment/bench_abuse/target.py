"""The service under abuse: auth, which has anonymous routes, with a PostgreSQL and an administrator of its own."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench.command import BenchError
from bench.processes import ROOT, Process, start
from stack import databases, postgres
from stack.ports import free_port

from libs.service_kit import migrations

PASSWORD = "only-for-the-bench"
EMAIL = "admin@platform.test"


@contextmanager
def running(folder: Path) -> Generator[tuple[Process, str]]:
    """Start it; yields the process and an administrator's token. All of it ends with the run."""
    server = postgres.at(folder / "postgres", port=free_port(), password=PASSWORD)
    postgres.start(server)
    try:
        asyncio.run(databases.create(postgres.url(server), ["auth"], password=PASSWORD))
        urls = [
            f"postgresql+asyncpg://{{service}}_{role}:{PASSWORD}@127.0.0.1:{server.port}/{{service}}"
            for role in ("owner", "app")
        ]
        asyncio.run(migrations.upgrade_all(["auth"], urls[0]))
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dev-environment"))),
            "LOG_DIR": str(folder / "logs"),
            "OTEL_TRACES_EXPORTER": "none",
            "DATABASE__URL": urls[1].format(service="auth"),
            "PORT": str(port),
            "BOOTSTRAP__ADMIN_EMAIL": EMAIL,
            "BOOTSTRAP__ADMIN_PASSWORD": PASSWORD,
            "BOOTSTRAP__SERVICE_SECRET": PASSWORD,
        }
        bootstrap = [sys.executable, "-m", "services.auth.bootstrap"]
        done = subprocess.run(bootstrap, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(done.stdout + done.stderr)
        process = start("auth", ["services.auth.main"], environment, port, folder, core=None)
        try:
            process.wait_for("/health/ready")
            yield process, _token(port)
        finally:
            process.stop()
    finally:
        postgres.stop(server)
        postgres.remove(server)


def _token(port: int) -> str:
    given = json.dumps({"tenant": "platform", "email": EMAIL, "password": PASSWORD}).encode()
    url, headers = f"http://127.0.0.1:{port}/api/v1/auth/login", {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, given, headers), timeout=10) as answer:
        return json.loads(answer.read())["access_token"]


def forget_peak(process: Process) -> None:
    """Let the peak of the memory begin at what it is now."""
    Path(f"/proc/{process.process.pid}/clear_refs").write_text("5")


def peak_mib(process: Process) -> float:
    """The most resident memory since then."""
    for line in Path(f"/proc/{process.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise BenchError("This system does not say what a process's peak of memory was: the bench needs Linux.")
