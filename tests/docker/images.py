"""The images of the containers, read from the compose files, where each tag stands once."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def image(service: str) -> str:
    """The image of a service of the compose files."""
    return compose_service(service)["image"]


def compose_service(service: str) -> dict[str, Any]:
    """A service of the compose files; KeyError if neither file has it."""
    for file in ("docker-compose.dev.yml", "docker-compose.devops.yml"):
        services = yaml.safe_load((ROOT / file).read_text())["services"]
        if service in services:
            return services[service]
    raise KeyError(service)
