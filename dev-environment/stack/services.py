"""The services as the verbs of the stack know them, and what runs beside them: the probe and the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from libs import services as table
from stack.errors import SettingError


class Program(Protocol):
    """Whatever is kept alive and answers on a port of its own: a service, the probe or a watcher."""

    @property
    def short(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def port_variable(self) -> str: ...
    @property
    def health(self) -> str: ...


Kind = TypeVar("Kind", bound=Program)


@dataclass(frozen=True)
class Service:
    """A service: its short name, and the port that it has unless the variable `port_variable` moves it."""

    short: str
    name: str
    """The name in logs, traces, metrics and containers."""
    port: int
    module: str
    port_variable: str
    health: str = "/health/ready"
    """The path that answers whether it is ready."""


SERVICES = tuple(
    Service(each.name, each.full_name, each.port, f"services.{each.name}.main", f"{each.name.upper()}_PORT")
    for each in table.SERVICES
)
PROBE = Service("probe", "probe", 3090, "libs.journey.probe", "PROBE_PORT", "/metrics")
"""The synthetic user. It has neither a database nor an API, and its port shows its metrics."""
PROGRAMS = (*SERVICES, PROBE)
PAGE = Service("page", "page", 3000, "page", "GRAFANA_PORT")
"""What local mode shows in a browser. It writes neither log lines nor spans, and stands where Grafana does in Docker mode."""
ANSWERING = (*SERVICES, PAGE)
"""What local mode asks whether it is ready."""


def service_named(name: str, among: Sequence[Kind] = SERVICES) -> Kind:
    """The service called `auth` or `auth-service`; `SettingError` lists the names for any other."""
    for service in among:
        if name in (service.short, service.name):
            return service
    raise SettingError(f"There is no service {name!r}: use one of {', '.join(each.short for each in among)}.")


def services_named(names: Iterable[str], among: Sequence[Kind] = SERVICES) -> Sequence[Kind]:
    """The services with these names; all of them if there is no name."""
    return [service_named(name, among) for name in names] or among


AUTH, BUDGET = service_named("auth"), service_named("budget")
