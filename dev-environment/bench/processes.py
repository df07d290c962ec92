"""The processes of a run and their cost: servers on one core, everything else on another. All of them end with the run."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from stack import postgres
from stack.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30
STOP_SECONDS = 20
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class StartError(Exception):
    """A process did not start or stop properly."""


@dataclass(frozen=True)
class Cores:
    """The core of the servers and the core of all other processes; None where processes cannot be pinned."""

    server: int | None
    client: int | None


def pin() -> Cores:
    """Pin this process, and all processes that it starts, to the first core; the last one is for the servers."""
    if not hasattr(os, "sched_setaffinity"):
        return Cores(None, None)
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, available[:1])
    return Cores(available[-1], available[0])


@dataclass
class Process:
    """A process of the bench that listens on `port`."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    stopped: bool = field(default=False)

    def get(self, path: str, port: int | None = None, **headers: str) -> str:
        """The body of the response to a GET request."""
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def wait_for(self, path: str, port: int | None = None) -> None:
        """Wait until `path` responds. Raises `StartError` with the end of the process's output if it does not."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get(path, port)
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise StartError(f"{self.name} does not answer:\n{(self.folder / 'console').read_text()[-2000:]}")

    def cpu_seconds(self) -> float:
        """The CPU time (user and system) that the process has used so far."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
            return (int(fields[11]) + int(fields[12])) / TICK
        except FileNotFoundError:
            return _seconds(self._ps("time"))

    def core_seconds(self) -> float:
        """The CPU time that all processes have used of this process's core; 0 where that is unknown."""
        try:
            [core] = os.sched_getaffinity(self.process.pid)
            line = next(each for each in Path("/proc/stat").read_text().splitlines() if each.startswith(f"cpu{core} "))
        except (AttributeError, ValueError, FileNotFoundError):
            return 0.0
        user, nice, system, _, _, irq, softirq = (int(value) for value in line.split()[1:8])
        return (user + nice + system + irq + softirq) / TICK

    def rss_mib(self) -> float:
        """The resident memory now."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE / 2**20
        except FileNotFoundError:
            return int(self._ps("rss")) / 1024

    def _ps(self, what: str) -> str:
        return subprocess.check_output(["ps", "-o", f"{what}=", "-p", str(self.process.pid)], text=True).strip()

    def kill(self) -> None:
        """End it with SIGKILL, which no program can handle."""
        self.stopped = True
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it with SIGTERM, as an orchestrator does."""
        if not self.stopped:
            self.stopped = True
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise StartError(f"{self.name} did not stop within {STOP_SECONDS} seconds") from None


def start(
    name: str,
    module: Sequence[str],
    environment: Mapping[str, str],
    port: int,
    folder: Path,
    *,
    core: int | None,
    root: Path = ROOT,
) -> Process:
    """Start `python -m module…` in the checkout `root`, on a core if one is given; its output goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", *module]
    with (folder / "console").open("ab") as console:
        running = subprocess.Popen(command, env=environment, cwd=root, stdout=console, stderr=console)
    if core is not None:
        os.sched_setaffinity(running.pid, {core})
    return Process(name, running, port, folder)


def _seconds(text: str) -> float:
    """The seconds in `1:02.34` or `0-00:01:02`."""
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + float(part)
    return total + (int(days) * 86_400 if days else 0)


@dataclass(frozen=True)
class Sink:
    """A running `bench.sink`."""

    process: Process
    control_port: int

    def be(self, behaviour: str) -> None:
        """Set its behaviour from now on."""
        self.process.get(f"/be/{behaviour}", self.control_port)

    def spans(self, service: str) -> dict[str, int]:
        """The number of spans that have arrived from a service, by name."""
        return json.loads(self.process.get("/counts", self.control_port)).get(service, {})


class Stage:
    """Everything that one run starts, in one folder: collectors, a database, servers. All of it ends with the stage."""

    def __init__(self, folder: Path, cores: Cores) -> None:
        self.folder = folder
        self._cores = cores
        self._stack = ExitStack()
        self._database_url = "postgresql+asyncpg://127.0.0.1:9/none"

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_sink(self, name: str = "sink") -> Sink:
        """Start a collector, which is healthy at first."""
        control_port = free_port()
        given = {"CONTROL_PORT": str(control_port)}
        process = self._start(name, ["bench.sink"], free_port(), given, core=self._cores.client)
        process.wait_for("/counts", control_port)
        return Sink(process, control_port)

    def start_database(self) -> None:
        """Start a PostgreSQL with one row, for all servers that start later."""
        server = postgres.at(self.folder / "postgres", port=free_port(), password="only-for-the-bench")
        self._stack.callback(postgres.remove, server)
        self._stack.callback(postgres.stop, server)
        postgres.start(server)
        self._database_url = postgres.url(server, driver="postgresql+asyncpg")
        subprocess.run([sys.executable, "-m", "bench.fill"], env=self._environment("fill", {}), cwd=ROOT, check=True)

    def start_server(
        self,
        name: str,
        sink: Sink,
        wiring: str,
        *arguments: str,
        root: Path = ROOT,
        environment: Mapping[str, str] = {},
    ) -> Process:
        """Start a server of the `bench.apps` of the checkout `root`; its service and its folder have the same name."""
        given = {**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.process.port}"}
        arguments = (wiring, *arguments)
        return self.start_program(name, "bench.apps", *arguments, ready="/items/1", root=root, environment=given)

    def start_program(
        self,
        name: str,
        module: str,
        *arguments: str,
        ready: str,
        root: Path = ROOT,
        environment: Mapping[str, str] = {},
    ) -> Process:
        """Start a module of the checkout `root` on the servers' core; returns when the path `ready` responds."""
        given = {**environment, "PYTHONPATH": os.pathsep.join((str(root), str(root / "dev-environment")))}
        server = self._start(name, [module, *arguments], free_port(), given, core=self._cores.server, root=root)
        server.wait_for(ready)
        return server

    def _start(
        self,
        name: str,
        module: list[str],
        port: int,
        given: Mapping[str, str],
        *,
        core: int | None,
        root: Path = ROOT,
    ) -> Process:
        environment = self._environment(name, given) | {"PORT": str(port)}
        process = start(name, module, environment, port, Path(environment["LOG_DIR"]), core=core, root=root)
        self._stack.callback(process.stop)
        return process

    def _environment(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        """An environment that inherits only PATH, so that the caller's variables cannot change the measurement."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dev-environment"))),
            "SERVICE_NAME": name,
            "NODE_ENV": "production",
            "OTEL_SERVICE_NAME": name,
            "LOG_DIR": str(self.folder / name),
            "DATABASE__URL": self._database_url,
            **given,
        }
