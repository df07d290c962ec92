"""What `PARTS` means: the containers that are started. `PARTS` can leave out anything of docker-compose.devops.yml."""

import re
from collections.abc import Mapping
from typing import Any

from stack.errors import SettingError
from stack.services import PROBE, SERVICES

GROUPS = {
    "metrics": ("prometheus", "alertmanager", "mailpit", "grafana", "node-exporter", "postgres-exporter"),
    "logs": ("elasticsearch", "elasticsearch-setup", "elasticsearch-exporter", "logstash", "kibana", "kibana-setup"),
    "traces": ("jaeger",),
    "loki": ("loki", "otel-collector"),
}
ALL = "all"


def chosen(given: str, model: Mapping[str, Any]) -> list[str]:
    """The containers that PARTS names, with those that they need; if it is empty or says `all`, all but those of profiles.

    All five services run, and the probe, unless some of them are named: then only those. What is switched off does not
    run. `model` is compose's, by container. Raises `SettingError` for a name that is neither a group nor a container.
    """
    names = set(re.split(r"[\s,]+", given.strip())) if given else {ALL}
    on = [name for name, each in model.items() if each.get("deploy", {}).get("replicas") != 0]
    groups = GROUPS | {ALL: tuple(name for name, each in model.items() if not each.get("profiles"))}
    shorts = {service.short: service.name for service in SERVICES}
    wanted = {each for name in names for each in groups.get(name, (shorts.get(name, name),))}
    if unknown := sorted(wanted - model.keys()):
        raise SettingError(
            f"PARTS names {', '.join(unknown)}: use {', '.join(groups)}, or names of containers: {', '.join(model)}."
        )
    if wanted.isdisjoint(shorts.values()):
        wanted |= {*shorts.values(), PROBE.name}
    while needed := {each for name in wanted for each in model[name].get("depends_on", ())} - wanted:
        wanted |= needed
    return [name for name in on if name in wanted]


def long_running(model: Mapping[str, Any]) -> set[str]:
    """The containers that keep running, as opposed to those that do one thing and end."""
    return {name for name, each in model.items() if each["restart"] != "no"}


def one_shots(names: list[str], model: Mapping[str, Any]) -> list[str]:
    """Those of `names` that do one thing and end, and that no other one waits for."""
    awaited = {each for name in names for each in model[name].get("depends_on", ())}
    return [name for name in names if name not in awaited | long_running(model)]
