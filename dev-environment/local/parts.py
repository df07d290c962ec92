"""What `PARTS` means: which containers are started. The rest of docker-compose.devops.yml can be left out."""

import re
from collections.abc import Mapping
from typing import Any

from local.settings import SERVICES, SettingError

GROUPS = {
    "metrics": ("prometheus", "alertmanager", "mailpit", "grafana", "node-exporter", "postgres-exporter"),
    "logs": ("elasticsearch", "elasticsearch-setup", "elasticsearch-exporter", "logstash", "kibana", "kibana-setup"),
    "traces": ("jaeger",),
}
ALL = "all"


def chosen(text: str, model: Mapping[str, Any]) -> list[str]:
    """The containers that PARTS names, with those they need; without a text, or with `all`, every one.

    The five services always run, or those of them that are named. `model` is compose's. Raises `SettingError` for a
    name that is neither a group nor a container.
    """
    names = {ALL} if not text else set(re.split(r"[\s,]+", text.strip()))
    if ALL in names:
        return list(model)
    shorts = {service.short: service.name for service in SERVICES}
    wanted = {each for name in names for each in GROUPS.get(name, (shorts.get(name, name),))}
    if unknown := sorted(wanted - model.keys()):
        raise SettingError(
            f"PARTS names {', '.join(unknown)}: use {', '.join(GROUPS)}, {ALL}, or names of containers: "
            f"{', '.join(model)}"
        )
    if wanted.isdisjoint(shorts.values()):
        wanted |= set(shorts.values())
    while needed := {each for name in wanted for each in model[name].get("depends_on", ())} - wanted:
        wanted |= needed
    return [name for name in model if name in wanted]


def long_running(model: Mapping[str, Any]) -> set[str]:
    """The containers that stay, other than those that do one thing and end."""
    return {name for name, each in model.items() if each["restart"] != "no"}


def loose_ends(names: list[str], model: Mapping[str, Any]) -> list[str]:
    """Those of the containers that end, and that no other one of `names` waits for."""
    awaited = {each for name in names for each in model[name].get("depends_on", ())}
    return [name for name in names if name not in awaited | long_running(model)]
