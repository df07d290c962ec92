"""What the local stack tells the person at the terminal."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from local import environment
from local.settings import SERVICES, Service, Settings

# In a pipe there is no width to fit into, and nothing may be broken into two lines.
WIDE = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """`make trace | head`: rich would call that a failure; the command line ends it quietly."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; colours on a terminal only."""
    return _Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, flush=True)


def tail(lines: Sequence[str], count: int = 20) -> str:
    """The last lines, indented."""
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (nothing was printed)"


# The pages of the watchers, in the order in which one wants them: the container, its name, its port.
PAGES = (
    ("grafana", "Grafana: dashboards", "GRAFANA_PORT"),
    ("kibana", "Kibana: log lines", "KIBANA_PORT"),
    ("jaeger", "Jaeger: traces", "JAEGER_UI_PORT"),
    ("prometheus", "Prometheus: metrics, rules", "PROMETHEUS_PORT"),
    ("alertmanager", "Alertmanager: silences", "ALERTMANAGER_PORT"),
    ("mailpit", "Mailpit: the alerts sent", "MAILPIT_PORT"),
    ("elasticsearch", "Elasticsearch", "ELASTICSEARCH_PORT"),
)


def summary(settings: Settings, *, containers: Sequence[str] = ()) -> None:
    """Print what runs where, who may log in, and what to try next; in Docker mode for the containers named."""
    out = console()
    table = Table("what", "where", "user", "password", box=box.SIMPLE_HEAD, pad_edge=False)
    values, docker = settings.values, bool(containers)
    for service in SERVICES:
        if not docker or service.name in containers:
            table.add_row(service.name, f"{environment.url(service, settings)}/docs")
    table.add_row("platform administrator (tenant `platform`)", "auth-service", values["BOOTSTRAP__ADMIN_EMAIL"],
                  values["BOOTSTRAP__ADMIN_PASSWORD"])  # fmt: skip
    table.add_row("PostgreSQL", f"127.0.0.1:{values['POSTGRES_PORT']}", "postgres", values["POSTGRES_PASSWORD"])
    if docker:
        where = f"127.0.0.1:{values['RABBITMQ_PORT']}"
        table.add_row("RabbitMQ", where, values["RABBITMQ_USER"], values["RABBITMQ_PASSWORD"])
        for name, what, variable in PAGES:
            if name in containers:
                login = ("admin", values["GRAFANA_ADMIN_PASSWORD"]) if name == "grafana" else ()
                table.add_row(what, f"http://127.0.0.1:{values[variable]}", *login)
    else:
        table.add_row("logs and traces", str(settings.state))
    out.print(table)
    out.print(
        "These passwords are for development: choose your own in .env before anybody else can reach this machine.\n"
    )
    all_run = not docker or all(service.name in containers for service in SERVICES)
    tries = [("make demo", "two tenants' story through all services")] if all_run else []
    if not docker:
        tries += [("make trace", "the last request as a tree through the services, with its log lines"),
                  ("make logs LEVEL=warning", "what is worth a look")]  # fmt: skip
    else:
        tries += [("make trace", "where Jaeger shows the last requests")] if "jaeger" in containers else []
        tries += [("make logs", "what the services say")]
        tries += [("make test-stack", "does every watcher see what it should?")] if all_run else []
    tries += [(f"curl {environment.url(SERVICES[0], settings)}/metrics", "what Prometheus reads"),
              ("make down", "stop it; the data stays")]  # fmt: skip
    out.print("Try next:\n" + "\n".join(f"  {command:<36} {what}" for command, what in tries))


def processes(settings: Settings, states: Mapping[str, Mapping[str, Any]], waiting: Mapping[Service, str]) -> None:
    """Print each process: state, port, since when, and why it is not ready."""
    table = Table("process", "state", "port", "pid", "up for", "", box=box.SIMPLE_HEAD, pad_edge=False)
    ports = {service.name: service.port_variable for service in SERVICES} | {"postgres": "POSTGRES_PORT"}
    reasons = {service.name: reason for service, reason in waiting.items()}
    for name, variable in ports.items():
        known = states[name]
        is_up = known["statename"] == "RUNNING"
        state = "ready" if is_up and name not in reasons else known["statename"].lower()
        age = _age(time.time() - known["start"]) if is_up else ""
        colour = "green" if state == "ready" else "red"
        table.add_row(name, Text(state, colour), settings.values[variable], str(known["pid"] or ""), age,
                      reasons.get(name, ""))  # fmt: skip
    console().print(table)


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
