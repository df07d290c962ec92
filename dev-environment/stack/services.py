"""The services as the verbs of the stack know them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.contracts.services import PORTS
from stack.errors import SettingError


@dataclass(frozen=True)
class Service:
    """A service: its short name, and the port that it has unless `port_variable` moves it."""

    short: str
    port: int

    @property
    def name(self) -> str:
        """The name in logs, traces, metrics and containers."""
        return f"{self.short}-service"

    @property
    def port_variable(self) -> str:
        """The variable that moves the port."""
        return f"{self.short.upper()}_PORT"


SERVICES = tuple(Service(name, port) for name, port in PORTS.items())


def service_named(name: str) -> Service:
    """The service called `auth` or `auth-service`; `SettingError` lists the names for any other."""
    for service in SERVICES:
        if name in (service.short, service.name):
            return service
    raise SettingError(f"There is no service {name!r}: use one of {', '.join(each.short for each in SERVICES)}.")


def services_named(names: Iterable[str]) -> Sequence[Service]:
    """The services with these names; all of them if there is no name."""
    return [service_named(name) for name in names] or SERVICES


AUTH, BUDGET = service_named("auth"), service_named("budget")
