"""What the stack prints for the person at the terminal: progress, and the tables of `make up` and `make status`."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack import environment
from stack.local.readiness import Silence
from stack.local.watchers import port
from stack.services import ANSWERING, AUTH, PAGE, PROBE, PROGRAMS, SERVICES
from stack.settings import Settings

# A pipe has no width, and no line may be broken into two there.
WIDE = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """`make trace | head`: rich would exit with an error; the command line ends it quietly."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; colours on a terminal only."""
    width = None if sys.stdout.isatty() else WIDE
    return _Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def is_coloured() -> bool:
    """Whether output may have colours: on a terminal, unless NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def say(message: str) -> None:
    """Print one line of progress."""
    print(message, flush=True)


def tail(lines: Sequence[str], count: int = 20) -> str:
    """The last lines, indented."""
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (nothing was printed)"


# The pages of the watchers, the most useful first: the container, its name, its port.
PAGES = (
    ("grafana", "Grafana: dashboards", "GRAFANA_PORT"),
    ("kibana", "Kibana: log lines", "KIBANA_PORT"),
    ("jaeger", "Jaeger: traces", "JAEGER_UI_PORT"),
    ("prometheus", "Prometheus: metrics, rules", "PROMETHEUS_PORT"),
    ("alertmanager", "Alertmanager: silences", "ALERTMANAGER_PORT"),
    ("mailpit", "Mailpit: the alerts sent", "MAILPIT_PORT"),
    ("elasticsearch", "Elasticsearch", "ELASTICSEARCH_PORT"),
    ("loki", "Loki", "LOKI_PORT"),
)


ANOTHER = "(another, chosen since)"
RESET_GRAFANA = (
    "  docker compose -f docker-compose.devops.yml exec grafana "
    """sh -c 'grafana cli admin reset-admin-password "$GF_SECURITY_ADMIN_PASSWORD"'"""
)


def summary(
    settings: Settings,
    *,
    containers: Sequence[str] = (),
    is_refused_by_grafana: bool = False,
    watchers: Mapping[str, Silence | None] | None = None,
) -> None:
    """Print what runs where, who may log in, and what to try next.

    In Docker mode for these `containers`; in local mode with the `watchers`, each with why it does not answer.
    """
    from stack import administrator  # with a driver and a hasher, which others who print have no use for

    out = console()
    has_password = administrator.has_password_of(settings)
    kept = {"BOOTSTRAP__ADMIN_PASSWORD": not has_password, "GRAFANA_ADMIN_PASSWORD": is_refused_by_grafana}
    shown = {name: ANOTHER if kept.get(name) else value for name, value in settings.values.items()}
    silent = {name: silence for name, silence in (watchers or {}).items() if silence}
    out.print(_places(settings, containers, shown, [name for name in watchers or () if name not in silent]))
    for name, silence in silent.items():
        out.print(f"{name} {silence}\n")
    if not has_password:
        out.print(
            "BOOTSTRAP__ADMIN_PASSWORD is not the administrator's password: another was chosen after the first start, "
            "and stays.\nSet the variable to it in .env, since `make demo` and the probe log in with it.\n"
        )
    if is_refused_by_grafana:
        out.print(
            "GRAFANA_ADMIN_PASSWORD is not Grafana's password: it is read at the first start only. This sets it:\n"
            f"{RESET_GRAFANA}\n"
        )
    out.print(
        "These passwords are for development: choose your own in .env before anybody else can reach this machine.\n"
    )
    tries = "\n".join(f"  {command:<36} {what}" for command, what in _next_commands(settings, containers))
    out.print(f"Try next:\n{tries}")


def _places(settings: Settings, containers: Sequence[str], values: Mapping[str, str], watchers: Sequence[str]) -> Table:
    table = Table("what", "where", "user", "password", box=box.SIMPLE_HEAD, pad_edge=False)
    docker = bool(containers)
    if not docker:
        table.add_row("page", f"http://127.0.0.1:{port(PAGE, settings)}")
    for each in settings.programs:
        if not docker or each.name in containers:
            page = "metrics" if each is PROBE else "docs"
            table.add_row(each.name, f"{environment.url(each, settings)}/{page}")
    table.add_row("platform administrator (tenant `platform`)", AUTH.name, values["BOOTSTRAP__ADMIN_EMAIL"],
                  values["BOOTSTRAP__ADMIN_PASSWORD"])  # fmt: skip
    table.add_row("PostgreSQL", f"127.0.0.1:{values['POSTGRES_PORT']}", "postgres", values["POSTGRES_PASSWORD"])
    if docker:
        where = f"127.0.0.1:{values['RABBITMQ_PORT']}"
        table.add_row("RabbitMQ", where, values["RABBITMQ_USER"], values["RABBITMQ_PASSWORD"])
    for name, what, variable in PAGES:
        if name in containers or name in watchers:
            # In local mode nobody has tried whether Grafana still has this password, which it reads at its first start.
            login = ("admin", values["GRAFANA_ADMIN_PASSWORD"] if docker else "") if name == "grafana" else ()
            table.add_row(what, f"http://127.0.0.1:{values[variable]}", *login)
    if not docker:
        table.add_row("logs and traces", str(settings.state))
    return table


def _next_commands(settings: Settings, containers: Sequence[str]) -> list[tuple[str, str]]:
    is_local = not containers
    all_run = is_local or all(service.name in containers for service in SERVICES)
    offers = (
        (all_run, "make demo", "the story of three tenants, through all services"),
        (is_local, "make trace", "the last request as a tree through the services, with its log lines"),
        (is_local, "make logs LEVEL=warning", "warnings and errors"),
        ("jaeger" in containers, "make trace", "where Jaeger shows the last requests"),
        (not is_local, "make logs", "the services' log lines"),
        (all_run, "make test-stack", "does every watcher see what it should?"),
        (True, f"curl {environment.url(AUTH, settings)}/metrics", "what Prometheus reads"),
        (True, "make down", "stop the stack; the data stays"),
    )
    return [(command, what) for is_offered, command, what in offers if is_offered]


def processes(settings: Settings, states: Mapping[str, Mapping[str, Any]], reasons: Mapping[str, str]) -> None:
    """Print each process: its state, its port, for how long it has been up, and why it is not ready."""
    table = Table("process", "state", "port", "pid", "up for", "", box=box.SIMPLE_HEAD, pad_edge=False)
    ports = {each.name: str(port(each, settings)) for each in (*PROGRAMS, PAGE) if each.name in states}
    ports["postgres"] = settings.values["POSTGRES_PORT"]
    watchers = {name: settings.values[variable] for name, _, variable in PAGES if name in states}
    ports |= watchers
    asked = {*watchers, *(service.name for service in ANSWERING)}
    for name, where in ports.items():
        known = states[name]
        is_up = known["statename"] in ("RUNNING", "STARTING")
        # A service or watcher that starts has been asked; of the others, only that they have run for a while is known.
        is_known_ready = known["statename"] == "RUNNING" or (is_up and name in asked)
        state = "ready" if is_known_ready and name not in reasons else known["statename"].lower()
        age = _age(time.time() - known["start"]) if is_up else ""
        colour = {"ready": "green", "starting": "yellow"}.get(state, "red")
        table.add_row(name, Text(state, colour), where, str(known["pid"] or ""), age,
                      reasons.get(name, ""))  # fmt: skip
    console().print(table)


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
