"""The stack as real processes with a PostgreSQL, folders and ports of their own; or a running one, by its URLs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from stack import environment, postgres
from stack.ports import free_port
from stack.services import SERVICES, service_named
from stack.settings import DEFAULTS, ROOT, Settings

from tests.fixtures import emitted
from tests.fixtures.emitted import Fact
from tests.fixtures.waiting import eventually

# Nothing comes from the caller's environment, so that the tests mean the same everywhere.
OUTER = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dev-environment"))),
    "OTEL_BSP_SCHEDULE_DELAY": "200",
}
READY_SECONDS = 45.0


@dataclass
class Stack:
    """Five services and their database. `settings` and `server` are None for a stack that ran before the tests."""

    urls: dict[str, str]
    settings: Settings | None = None
    server: postgres.Server | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def secrets(self) -> list[str]:
        """The configured secrets, which no file may contain."""
        names = ("POSTGRES_PASSWORD", "BOOTSTRAP__ADMIN_PASSWORD", "BOOTSTRAP__SERVICE_SECRET")
        return [*(self.settings.values[name] for name in names), *map(self.account_secret, self.urls)]

    def account_secret(self, short: str) -> str:
        """The secret of a service's own account."""
        return environment.decided(service_named(short), self.settings)["EVENTS__CLIENT_SECRET"]

    def start(self, short: str) -> None:
        """Start a service; `wait_until_ready` waits for it."""
        variables = environment.of_service(service_named(short), self.settings, OUTER)
        output = (self.settings.state / f"{short}.out").open("ab")
        self.processes[short] = subprocess.Popen(
            [sys.executable, "-m", f"services.{short}.main"],
            env=variables,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        output.close()

    def kill(self, short: str) -> None:
        """End a service as a power failure would: `kill -9`."""
        self.processes[short].kill()
        self.processes[short].wait()

    def stop(self) -> None:
        """End all services as an operator would."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_until_ready(self, *services: str) -> None:
        """Wait until the services answer that they are ready; fail at once when one of them has ended."""
        for short in services or self.urls:
            eventually(lambda short=short: self._is_ready(short), READY_SECONDS, f"{short} is not ready")

    def _is_ready(self, short: str) -> bool:
        process = self.processes.get(short)
        if process and process.poll() is not None:
            output = (self.settings.state / f"{short}.out").read_text()[-3000:]
            raise AssertionError(f"{short} ended with {process.returncode}:\n{output}")
        return httpx.get(f"{self.urls[short]}/health/ready", timeout=3).status_code == 200

    async def superuser(self, short: str) -> asyncpg.Connection:
        """A connection to a service's database that sees every tenant."""
        return await asyncpg.connect(postgres.url(self.server, database=short))

    def files(self) -> list[Path]:
        """Every file of log lines, spans and output so far."""
        state = self.settings.state
        return [path for folder in ("logs", "traces") for path in state.glob(f"{folder}/*/*") if path.is_file()] + [
            *state.glob("*.out")
        ]

    def lines(self, text: str = "") -> Iterator[dict[str, Any]]:
        """Every log line that has this text in it, parsed."""
        for path in self.settings.state.glob("logs/*/combined.log*"):
            yield from (json.loads(line) for line in complete_lines(path) if text in line)

    def facts(self) -> set[Fact]:
        """All that the services have emitted so far, by its names."""
        spans = [
            json.loads(line)
            for path in self.settings.state.glob("traces/*/spans.jsonl*")
            for line in complete_lines(path)
        ]
        pages = {service: httpx.get(f"{url}/metrics").text for service, url in self.urls.items()}
        return {
            *emitted.of_spans(spans),
            *(fact for line in self.lines() for fact in emitted.of_line(line)),
            *(fact for service, page in pages.items() for fact in emitted.of_page(service, page)),
        }

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, each with its service's name under `service` and its attributes as a plain dict."""
        found: list[dict[str, Any]] = []
        for path in self.settings.state.glob("traces/*/spans.jsonl*"):
            for line in complete_lines(path):
                if trace_id in line:
                    found += [span for span in _spans(json.loads(line)) if span["traceId"] == trace_id]
        return found


def complete_lines(path: Path) -> list[str]:
    """The lines of a file that is being written, without a last one that is not finished."""
    return path.read_text().split("\n")[:-1]  # `splitlines` would also split at what a client may have written: U+0085


def _spans(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in request["resourceSpans"]:
        service = _plain(group["resource"]["attributes"])["service.name"]
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield {**span, "service": service, "attributes": _plain(span["attributes"])}


def _plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in attributes}


def given_urls() -> dict[str, str] | None:
    """The URLs of a running stack, if the environment names all five."""
    named = {each.short: os.environ.get(f"SERVICES__{each.short.upper()}", "") for each in SERVICES}
    return named if all(named.values()) else None


def create(folder: Path) -> Stack:
    """A prepared stack with nothing running but PostgreSQL."""
    ports = {name: str(free_port()) for name in DEFAULTS if name.endswith("_PORT")}
    secrets = {
        "POSTGRES_PASSWORD": "pg-1f0e2d3c",
        "BOOTSTRAP__ADMIN_PASSWORD": "plover-amber-7781-kelp",
        "BOOTSTRAP__SERVICE_SECRET": "svc-9a8b7c6d5e4f",
    }
    settings = Settings(DEFAULTS | ports | secrets | {"STATE_DIR": str(folder)}, {})
    fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = postgres.at(
        folder / "postgres", port=settings.port("POSTGRES_PORT"), password=secrets["POSTGRES_PASSWORD"], settings=fast
    )
    postgres.start(server)
    variables = environment.of_preparation(settings, OUTER) | settings.values
    done = subprocess.run(
        [sys.executable, "-m", "stack.prepare"], env=variables, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Stack({each.short: environment.url(each, settings) for each in SERVICES}, settings, server)
