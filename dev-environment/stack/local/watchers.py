"""The watchers that this machine has, which run beside the services as compose runs them.

Their commands and variables come from docker-compose.devops.yml, their configuration from the folder that it mounts.
"""

import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack import environment
from stack.local import compose
from stack.local.compose import Process
from stack.services import PAGE, Program
from stack.settings import DEFAULTS, ROOT, Settings


@dataclass(frozen=True)
class Watcher:
    """A watcher: the name of its container, those of its program, the variable of its port, its health check's path."""

    name: str
    programs: tuple[str, ...]
    port_variable: str
    health: str

    @property
    def short(self) -> str:
        """Its name on the command line."""
        return self.name

    @property
    def program(self) -> str:
        """The path of its program; empty if the PATH has none."""
        return next((path for each in self.programs if (path := shutil.which(each))), "")

    def url(self, settings: Settings) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{settings.values[self.port_variable]}"


PROMETHEUS = Watcher("prometheus", ("prometheus",), "PROMETHEUS_PORT", "/-/ready")
ALERTMANAGER = Watcher("alertmanager", ("alertmanager", "prometheus-alertmanager"), "ALERTMANAGER_PORT", "/-/ready")
JAEGER = Watcher("jaeger", ("jaeger",), "JAEGER_UI_PORT", "/api/v3/services")
GRAFANA = Watcher("grafana", ("grafana", "grafana-server"), "GRAFANA_PORT", "/api/health")
WATCHERS = (PROMETHEUS, ALERTMANAGER, JAEGER, GRAFANA)

# Whoever sets one of these says where spans go.
SAYS_WHERE = {
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "JAEGER_AGENT_HOST",
}


def found(settings: Settings) -> list[Watcher]:
    """The watchers that run with the stack: those whose program is on the PATH, and none if WATCHERS says so."""
    return [] if settings.values["WATCHERS"] == "none" else [each for each in WATCHERS if each.program]


def ports(settings: Settings, *kinds: socket.SocketKind) -> dict[str, tuple[int, str]]:
    """The ports of the watchers that run, by variable, each with its watcher's name; of these kinds only, if any."""
    names = [each.name for each in found(settings)]
    return {
        port.variable: (settings.port(port.variable), port.container)
        for port in compose.ports()
        if port.container in names and port.kind in (kinds or (port.kind,))
    }


def port(program: Program, settings: Settings) -> int:
    """The port that a program answers on. Where Grafana runs, the page makes room for it: the next that nothing has."""
    wanted = settings.port(program.port_variable)
    if program is not PAGE or GRAFANA not in found(settings):
        return wanted
    others = {settings.port(name) for name in DEFAULTS if name.endswith("_PORT")}
    return next(each for each in range(wanted + 1, 65536) if each not in others)


def spans_too(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """What makes a service send its spans to Jaeger beside writing them to files, unless `given` says where they go."""
    if JAEGER not in found(settings) or given.keys() & SAYS_WHERE:
        return {}
    endpoint = f"http://127.0.0.1:{settings.values['OTLP_HTTP_PORT']}"
    return {"OTEL_TRACES_EXPORTER": "otlp,files", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}


def prepare(watcher: Watcher, settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Write the configuration of a watcher into the state folder; its command line, and its environment."""
    data = settings.state / "watchers" / watcher.name
    data.mkdir(parents=True, exist_ok=True)
    process = Process(watcher.name, data, settings, {each.name for each in (*settings.programs, *found(settings))})
    process.write()
    command = [*(process.entrypoint() or [watcher.program]), *process.command()]
    variables = environment.from_shell() | process.variables()
    if watcher in (PROMETHEUS, ALERTMANAGER):
        command += [f"--web.listen-address=127.0.0.1:{settings.values[watcher.port_variable]}"]
    if watcher == ALERTMANAGER:
        variables |= _of_alertmanager(settings, data)
    if watcher == GRAFANA:
        command += _options_of_grafana(settings)
        variables |= _of_grafana(settings, data)
    return command, variables


def _of_alertmanager(settings: Settings, data: Path) -> dict[str, str]:
    # By default, the mail server is Mailpit, which only Docker mode has.
    has_mail = settings.values["SMTP_SMARTHOST"] != DEFAULTS["SMTP_SMARTHOST"]
    return {
        "ALERTMANAGER": ALERTMANAGER.program,
        "CONFIG_FOLDER": str(ROOT / "dev-environment/alertmanager"),
        "DATA_FOLDER": str(data),
        "SLACK_FILE": str(ROOT / settings.values["SLACK_WEBHOOK_URL_FILE"]),
        "PASSWORD_FILE": str(ROOT / settings.values["SMTP_PASSWORD_FILE"]),
    } | ({} if has_mail else {"SMTP_SMARTHOST": "none"})


def _options_of_grafana(settings: Settings) -> list[str]:
    file = settings.run / "grafana/grafana.ini"
    file.touch()  # so that it reads no other; what is set is in variables
    program = Path(GRAFANA.program)
    above = program.resolve().parents[1]
    homes = [home for home in (above, above / "share/grafana") if (home / "conf/defaults.ini").exists()]
    verb = ["server"] if program.name == "grafana" else []
    return [*verb, f"--config={file}", *(f"--homepath={home}" for home in homes[:1])]


def _of_grafana(settings: Settings, data: Path) -> dict[str, str]:
    return {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": settings.values["GRAFANA_PORT"],
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data / "log"),
        "GF_PATHS_PLUGINS": str(data / "plugins"),
        "GF_PATHS_PROVISIONING": str(settings.run / "grafana/provisioning"),
    }
