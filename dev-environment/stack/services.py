"""The services as the verbs of the stack know them, and the probe, which runs beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.contracts import services as contracts
from stack.errors import SettingError


@dataclass(frozen=True)
class Service:
    """A service: its short name, and the port that it has unless `port_variable` moves it."""

    short: str
    name: str
    """The name in logs, traces, metrics and containers."""
    port: int
    module: str

    @property
    def port_variable(self) -> str:
        """The variable that moves the port."""
        return f"{self.short.upper()}_PORT"


SERVICES = tuple(
    Service(each.name, each.full_name, each.port, f"services.{each.name}.main") for each in contracts.SERVICES
)
PROBE = Service("probe", "probe", 3090, "libs.journey.probe")
"""The synthetic user. It has neither a database nor an API, and its port shows its metrics."""
PROGRAMS = (*SERVICES, PROBE)


def service_named(name: str, among: Sequence[Service] = SERVICES) -> Service:
    """The service called `auth` or `auth-service`; `SettingError` lists the names for any other."""
    for service in among:
        if name in (service.short, service.name):
            return service
    raise SettingError(f"There is no service {name!r}: use one of {', '.join(each.short for each in among)}.")


def services_named(names: Iterable[str], among: Sequence[Service] = SERVICES) -> Sequence[Service]:
    """The services with these names; all of them if there is no name."""
    return [service_named(name, among) for name in names] or among


AUTH, BUDGET = service_named("auth"), service_named("budget")
