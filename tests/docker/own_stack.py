"""A stack of the compose files beside any other: under another name, on other ports, and with its own images."""

import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml
from stack.docker import engine
from stack.ports import free_port
from stack.settings import DEFAULTS, Settings, read

from tests.docker.images import ROOT

SHELLS = ("PATH", "HOME", "DOCKER_", "BUILDX_", "COMPOSE_PARALLEL_LIMIT", "XDG_")
"""The variables, by the beginning of their names, by which docker itself works."""


class Stack:
    """Containers of the compose files, as a project of their own."""

    def __init__(self, folder: Path, *more: str, **variables: str) -> None:
        """`more`: further compose files, of the checkout; `variables`: what compose is told beside the ports."""
        self._variables = variables
        self.name = f"all-erp-test-{secrets.token_hex(4)}"
        self.settings: Settings = read(
            {name: str(free_port()) for name in DEFAULTS if name.endswith("_PORT")}, Path(os.devnull)
        )
        services = yaml.safe_load((ROOT / "docker-compose.dev.yml").read_text())["services"]
        self.images = {name: f"{self.name}/{name}" for name, each in services.items() if "build" in each}
        own = {
            "networks": {"default": {"name": self.name}},
            "volumes": {"app-logs": {"name": f"{self.name}-logs"}},
            # The tags of `make up` stay where they are.
            "services": {name: {"image": each} for name, each in self.images.items()},
        }
        (folder / "own.yml").write_text(yaml.safe_dump(own))
        files = [part for file in (*engine.FILES, *more, folder / "own.yml") for part in ("--file", str(file))]
        self._command = ["docker", "compose", "--project-name", self.name, "--env-file", os.devnull, *files]

    def compose(self, *arguments: str) -> str:
        """Run docker compose and return what it prints; the test fails with its errors."""
        ports = {name: value for name, value in self.settings.values.items() if name.endswith("_PORT")}
        # Neither the caller's shell nor other tests, which switch tracing off, may say how the services run.
        own = {name: value for name, value in os.environ.items() if name.startswith(SHELLS)}
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=own | ports | self._variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def get(self, port: str, path: str, **parameters: Any) -> Any:
        """The answer of a program of the stack, parsed."""
        url = f"http://127.0.0.1:{self.settings.port(port)}{path}"
        return httpx.get(url, params=parameters or None, timeout=30).raise_for_status().json()

    def ask(self, expr: str) -> dict[str, float]:
        """What Prometheus answers, by job."""
        found = self.get("PROMETHEUS_PORT", "/api/v1/query", query=expr)["data"]["result"]
        return {each["metric"].get("job", ""): float(each["value"][1]) for each in found}
