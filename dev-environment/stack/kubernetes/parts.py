"""What `PARTS` means in a cluster: which watchers run there. The services, and what they stand on, always do."""

import re

from stack.docker.parts import ALL, GROUPS, HA
from stack.errors import SettingError
from stack.kubernetes.overlay import SHIPPER, WATCHERS

# What is nothing without the others. Kibana asks Elasticsearch.
ELASTICSEARCH = {"elasticsearch", "elasticsearch-setup", "elasticsearch-exporter"}
KIBANA = {"kibana", "kibana-setup"}


def chosen(given: str) -> set[str]:
    """The watchers that PARTS names, by their names in compose, and `ha` if it says so; all watchers if it is empty.

    Elasticsearch comes with its set-up, its exporter, and the Collector that ships log lines to it; Kibana with all of it.
    Raises `SettingError` for a name of nothing that can be left out of a cluster.
    """
    words = {*re.split(r"[\s,]+", given.strip())} - {""}
    groups = {name: {*group} & {*WATCHERS} for name, group in GROUPS.items()} | {ALL: {*WATCHERS}}
    found = {word: groups.get(word, {word} & {*WATCHERS}) for word in words - {HA} or {ALL}}
    if unknown := sorted(word for word, watchers in found.items() if not watchers):
        names = ", ".join((*(name for name, group in groups.items() if group), HA))
        raise SettingError(
            f"PARTS names {', '.join(unknown)}: in Kubernetes mode use {names}, or names of watchers: "
            f"{', '.join(WATCHERS)}. The services always run there."
        )
    watchers = set[str]().union(*found.values())
    if watchers & KIBANA:
        watchers |= KIBANA | ELASTICSEARCH
    if watchers & ELASTICSEARCH:
        watchers |= {*ELASTICSEARCH, SHIPPER}
    return watchers | (words & {HA})
