"""What `PARTS` means: the containers that are started. `PARTS` can leave out anything of docker-compose.devops.yml."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from stack.errors import SettingError
from stack.services import PROBE, SERVICES
from stack.settings import ROOT

PROMETHEUS = ROOT / "dev-environment/prometheus/prometheus.yml"

GROUPS = {
    "metrics": ("prometheus", "alertmanager", "mailpit", "grafana", "node-exporter", "postgres-exporter"),
    "logs": ("elasticsearch", "elasticsearch-setup", "elasticsearch-exporter", "logstash", "kibana", "kibana-setup"),
    "traces": ("jaeger",),
    "loki": ("loki", "otel-collector"),
}
ALL = "all"
# Two or three of each watcher that is named: prometheus-2 with prometheus.
HA = "ha"
# What `model` has where some service runs more than once.
HAPROXY = "haproxy"


def chosen(given: str, model: Mapping[str, Any]) -> list[str]:
    """The containers that PARTS names, with those that they need; if it is empty or says `all`, all but those of profiles.

    With `ha` come the other ones of each watcher that can be several. All five services run, and the probe, unless some
    of them are named: then only those. What is switched off does not run. `model` is compose's, by container. Raises
    `SettingError` for a name that is neither a group nor a container.
    """
    names = set(re.split(r"[\s,]+", given.strip())) if given else {ALL}
    is_several = HA in names
    names = names - {HA} or {ALL}
    on = [name for name, each in model.items() if replicas(each)]
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
    wanted |= {HAPROXY} & model.keys()
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


def stated(names: list[str], model: Mapping[str, Any]) -> str:
    """How many there ought to be of each job of Prometheus, as its start.sh reads it, if `names` run.

    So it says of Logstash too, which has no metrics: without it, no line is to reach Elasticsearch.
    """

    def count(host: str) -> int:
        return sum(replicas(model[name]) for name in names if host in {name, *_aliases(model[name])})

    numbers = {job: count(host) for job, host in jobs()} | {"logstash": count("logstash")}
    # Its exporter tells of all nodes.
    numbers["elasticsearch"] = numbers["elasticsearch"] and count("elasticsearch")
    return " ".join(f"{job}={number}" for job, number in numbers.items())


def profiles(names: list[str], model: Mapping[str, Any]) -> list[str]:
    """The profiles of compose that some of `names` need."""
    return sorted({profile for name in names for profile in model[name].get("profiles", ())})


def jobs() -> Iterator[tuple[str, str]]:
    """Each job of Prometheus, with the name of the container that it asks."""
    for job in yaml.load(PROMETHEUS.read_text(), yaml.CSafeLoader)["scrape_configs"]:
        found, targets = job.get("dns_sd_configs"), job.get("static_configs")
        yield job["job_name"], found[0]["names"][0] if found else targets[0]["targets"][0].partition(":")[0]


def replicas(container: Mapping[str, Any]) -> int:
    """How many there are to be of one of compose's containers."""
    return container.get("deploy", {}).get("replicas", 1)


def _aliases(container: Mapping[str, Any]) -> list[str]:
    return [alias for each in container.get("networks", {}).values() if each for alias in each.get("aliases", ())]


def _needed(container: Mapping[str, Any]) -> list[str]:
    return [name for name, how in container.get("depends_on", {}).items() if how.get("required", True)]
