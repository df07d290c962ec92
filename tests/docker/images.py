"""The images that the compose files name, each at the one place where its tag stands."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def image(service: str) -> str:
    """The image of a service of the compose files."""
    for file in ("docker-compose.dev.yml", "docker-compose.devops.yml"):
        services = yaml.safe_load((ROOT / file).read_text())["services"]
        if service in services:
            return services[service]["image"]
    raise KeyError(service)
