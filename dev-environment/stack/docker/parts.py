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
# Two or three of each watcher that is named: prometheus-2 with prometheus.
HA = "ha"


def chosen(given: str, model: Mapping[str, Any]) -> list[str]:
    """The containers that PARTS names, with those that they need; if it is empty or says `all`, all but those of profiles.

    With `ha` come the other ones of each watcher that can be several. All five services run, and the probe, unless some
    of them are named: then only those. What is switched off does not run. `model` is compose's, by container. Raises
    `SettingError` for a name that is neither a group nor a container.
    """
    names = set(re.split(r"[\s,]+", given.strip())) if given else {ALL}
    is_several = HA in names
    names = names - {HA} or {ALL}
    on = [name for name, each in model.items() if each.get("deploy", {}).get("replicas") != 0]
    groups = GROUPS | {ALL: tuple(name for name, each in model.items() if not each.get("profiles"))}
    shorts = {service.short: service.name for service in SERVICES}
    wanted = {each for name in names for each in groups.get(name, (shorts.get(name, name),))}
    if unknown := sorted(wanted - model.keys()):
        raise SettingError(
            f"PARTS names {', '.join(unknown)}: use {', '.join(groups)}, {HA}, or names of containers: {', '.join(model)}."
        )
    if wanted.isdisjoint(shorts.values()):
        wanted |= {*shorts.values(), PROBE.name}
    if is_several:
        wanted |= {
            name for name, each in model.items() if HA in each.get("profiles", ()) and name.rpartition("-")[0] in wanted
        }
    while needed := {each for name in wanted for each in _needed(model[name])} - wanted:
        wanted |= needed
    return [name for name in on if name in wanted]


def long_running(model: Mapping[str, Any]) -> set[str]:
    """The containers that keep running, as opposed to those that do one thing and end."""
    return {name for name, each in model.items() if each["restart"] != "no"}


def one_shots(names: list[str], model: Mapping[str, Any]) -> list[str]:
    """Those of `names` that do one thing and end, and that no other one waits for."""
    awaited = {each for name in names for each in _needed(model[name])}
    return [name for name in names if name not in awaited | long_running(model)]


def profiles(names: list[str], model: Mapping[str, Any]) -> list[str]:
    """The profiles of compose that some of `names` need."""
    return sorted({profile for name in names for profile in model[name].get("profiles", ())})


def _needed(container: Mapping[str, Any]) -> list[str]:
    return [name for name, how in container.get("depends_on", {}).items() if how.get("required", True)]
