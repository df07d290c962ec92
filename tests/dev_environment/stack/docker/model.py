"""The model of the real compose files, as docker compose would give it, without Docker."""

from typing import Any

import yaml
from stack.docker import engine
from stack.settings import ROOT


def services_of(file: str) -> dict[str, Any]:
    """The services of one compose file, by name."""
    return yaml.safe_load((ROOT / file).read_text())["services"]


MODEL = {name: each for file in engine.FILES for name, each in services_of(file).items()}
PROBE = "probe"
MODEL[PROBE]["deploy"]["replicas"] = 1
SERVICES = {f"{short}-service" for short in ("auth", "tenant", "system", "budget", "personnel")}
