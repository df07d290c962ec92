"""Watchers of docker-compose.devops.yml as processes of this machine: compose's commands, variables and files.

Only their addresses and paths are changed, and what asks or links a part that does not run here is left out.
"""

import glob
import json
import os
import re
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from stack import env_file
from stack.settings import ROOT, Settings

FILES = tuple(ROOT / f"docker-compose.{name}.yml" for name in ("dev", "devops"))
PUBLISHED = re.compile(r"127\.0\.0\.1:\$\{(?P<variable>\w+):-\d+\}:(?P<number>\d+)(?P<udp>/udp)?")
LOG_LINES = "/d/log-lines?"
Change = Callable[[Any, Settings, Collection[str]], None]


@dataclass(frozen=True)
class Port:
    """A port of a container, and the variable of the port that it has on this machine."""

    container: str
    number: str
    variable: str
    kind: socket.SocketKind = socket.SOCK_STREAM


# Prometheus asks for both inside of compose's network, which publishes neither.
OF_JAEGER = (Port("jaeger", "8888", "JAEGER_METRICS_PORT"), Port("jaeger", "8889", "JAEGER_SPAN_METRICS_PORT"))


def ports() -> Iterator[Port]:
    """The ports of all containers that have one on this machine."""
    for name, container in _containers().items():
        for port in PUBLISHED.finditer(" ".join(container.get("ports", ()))):
            kind = socket.SOCK_DGRAM if port["udp"] else socket.SOCK_STREAM
            yield Port(name, port["number"], port["variable"], kind)
    yield from OF_JAEGER


def environment(name: str, settings: Settings) -> dict[str, str]:
    """The variables of a container as compose fills them in; what it would take from `.env` is left out if that has none."""
    known = {**settings.from_file, **os.environ, **settings.values}
    given = _containers()[name].get("environment", {})
    filled = {
        key: known.get(key) if value is None else env_file.expand(str(value), known) for key, value in given.items()
    }
    return {key: value for key, value in filled.items() if value is not None}


def arguments(name: str, settings: Settings) -> list[str]:
    """The arguments of a container as compose fills them in."""
    return [env_file.expand(each, settings.values) for each in _containers()[name].get("command", ())]


def seconds_to_stop(name: str) -> int:
    """How long a container may take to stop; Docker's own limit is ten seconds."""
    return int(_containers()[name].get("stop_grace_period", "10s").removesuffix("s"))


@dataclass(frozen=True)
class Process:
    """A container as a process of this machine: `data` takes the place of its volume, and `here` names the parts that run."""

    name: str
    data: Path
    settings: Settings
    here: Collection[str]

    def entrypoint(self) -> list[str]:
        """What is run in the place of the image's own program; empty if there is no such thing."""
        return self._list("entrypoint")

    def command(self) -> list[str]:
        """Its arguments."""
        return self._list("command")

    def variables(self) -> dict[str, str]:
        """Its environment."""
        given = _containers()[self.name].get("environment", {})
        return {name: self._filled_in(str(value)) for name, value in given.items()}

    def write(self) -> None:
        """Write those of its files that say where something is."""
        for file, change in CHANGES.get(self.name, {}).items():
            document = yaml.load((ROOT / "dev-environment" / self.name / file).read_text(), yaml.CSafeLoader)
            change(document, self.settings, self.here)
            target = self.settings.run / self.name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            written = _moved(document, self._places())
            is_json = target.suffix == ".json"
            target.write_text(json.dumps(written) if is_json else yaml.safe_dump(written, sort_keys=False))

    def _list(self, key: str) -> list[str]:
        return [self._filled_in(each) for each in _containers()[self.name].get(key, ())]

    def _filled_in(self, text: str) -> str:
        unexpanded = {inside: outside.replace("$", "$$") for inside, outside in self._places().items()}
        return env_file.expand(_moved(text, unexpanded), self.settings.values)

    def _places(self) -> dict[str, str]:
        """Addresses and paths inside of the container, and what takes their place."""
        volumes = [each.partition(":")[2] for each in _containers()[self.name]["volumes"] if not each.startswith("./")]
        paths = {f"/etc/{self.name}": ROOT / "dev-environment" / self.name, **dict.fromkeys(volumes, self.data)}
        for file in CHANGES.get(self.name, {}):
            paths[f"/etc/{self.name}/{file}"] = self.settings.run / self.name / file
        addresses = {
            f"{host}:{port.number}": f"127.0.0.1:{self.settings.values[port.variable]}"
            for port in ports()
            for host in (port.container, *(("0.0.0.0", "localhost") if port.container == self.name else ()))
        }
        return addresses | {inside: str(outside) for inside, outside in paths.items()}


@cache
def _containers() -> dict[str, Any]:
    models = [yaml.load(file.read_text(), yaml.CSafeLoader) for file in FILES]
    return {name: container for model in models for name, container in model["services"].items()}


def _moved(value: Any, places: Mapping[str, str]) -> Any:
    """A document whose strings name what takes the place of each of `places`."""
    if isinstance(value, dict):
        return {key: _moved(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, places) for each in value]
    longest_first = "|".join(re.escape(each) for each in sorted(places, key=len, reverse=True))
    named = rf"(?<![\w.-])(?:{longest_first})(?![\w.:-])"
    return re.sub(named, lambda each: places[each[0]], value) if isinstance(value, str) else value


def _prometheus(config: Any, settings: Settings, here: Collection[str]) -> None:
    # No name of compose's network means anything here.
    for job in (*config["scrape_configs"], *config["alerting"]["alertmanagers"]):
        if names := job.pop("dns_sd_configs", None):
            job["static_configs"] = [{"targets": [f"{each['names'][0]}:{each['port']}" for each in names]}]

    def runs(each: Any) -> bool:
        return each["static_configs"][0]["targets"][0].partition(":")[0] in {*here, "localhost"}

    limit = config["global"].pop("sample_limit")  # Prometheus before 2.46 knows it of single jobs only
    config["global"]["external_labels"] = {"grafana_url": settings.values["GRAFANA_URL"]}
    folder = glob.escape(str(ROOT / "dev-environment/prometheus"))  # since what stands here is a pattern
    # What is stated of parts that are left out concerns none of these jobs.
    config["rule_files"] = [f"{folder}/{each}" for each in config["rule_files"] if not each.startswith("/")]
    config["scrape_configs"] = [job | {"sample_limit": limit} for job in config["scrape_configs"] if runs(job)]
    config["alerting"]["alertmanagers"] = [each for each in config["alerting"]["alertmanagers"] if runs(each)]


def _jaeger(config: Any, settings: Settings, here: Collection[str]) -> None:
    config["service"]["extensions"].remove("healthcheckv2")
    del config["extensions"]["healthcheckv2"]
    # By default the pages are served at every address of the machine; by gRPC nobody asks, so any port will do.
    config["extensions"]["jaeger_query"] |= {"http": {"endpoint": "0.0.0.0:16686"}, "grpc": {"endpoint": "127.0.0.1:0"}}
    if "prometheus" not in here:
        del config["extensions"]["jaeger_storage"]["metric_backends"]
        del config["extensions"]["jaeger_query"]["storage"]["metrics"]
    (reader,) = config["service"]["telemetry"]["metrics"]["readers"]
    reader["pull"]["exporter"]["prometheus"] = {"host": "127.0.0.1", "port": settings.port("JAEGER_METRICS_PORT")}
    # A percentage would be one of the machine's memory, where the container has a limit.
    container, limiter = _containers()["jaeger"], config["processors"]["memory_limiter"]
    memory = int(container["deploy"]["resources"]["limits"]["memory"].removesuffix("M"))
    for name in ("limit", "spike_limit"):
        limiter[f"{name}_mib"] = memory * limiter.pop(f"{name}_percentage") // 100


def _pages_of_jaeger(config: Any, settings: Settings, here: Collection[str]) -> None:
    config["monitor"]["menuEnabled"] = "prometheus" in here
    config["linkPatterns"] = [each for each in config["linkPatterns"] if LOG_LINES not in each["url"]]


def _data_sources(config: Any, settings: Settings, here: Collection[str]) -> None:
    config["datasources"] = [each for each in config["datasources"] if urlsplit(each["url"]).hostname in here]
    uids = {each["uid"] for each in config["datasources"]}

    def leads_somewhere(link: Any) -> bool:
        return not isinstance(link, dict) or (
            link.get("datasourceUid") in {None, *uids} and LOG_LINES not in link.get("url", "")
        )

    for source in config["datasources"]:
        links = source["jsonData"]
        if "alertmanager" not in uids:
            links.pop("alertmanagerUid", None)
        for name, link in links.items():
            if isinstance(link, list):
                links[name] = [each for each in link if leads_somewhere(each)]
        source["jsonData"] = {name: link for name, link in links.items() if leads_somewhere(link)}


def _as_it_is(config: Any, settings: Settings, here: Collection[str]) -> None:
    """Only its addresses and paths are changed."""


CHANGES: dict[str, dict[str, Change]] = {
    "prometheus": {"prometheus.yml": _prometheus},
    "jaeger": {"config.yaml": _jaeger, "ui.json": _pages_of_jaeger},
    "grafana": {"provisioning/datasources/all.yml": _data_sources, "provisioning/dashboards/all.yml": _as_it_is},
}
"""The files that name addresses or paths, by the folder of each container, and what else is changed in them."""
