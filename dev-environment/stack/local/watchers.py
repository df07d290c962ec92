"""The watchers that this machine has, which run beside the services as compose runs them.

Their commands and variables come from docker-compose.devops.yml, their configuration from the folder that it mounts.
"""

import json
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack import doctor, environment
from stack.doctor import Finding
from stack.errors import SettingError
from stack.local import compose
from stack.local.compose import Process
from stack.ports import is_free
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
    """The watchers whose program is on the PATH, and none if WATCHERS says so."""
    return [] if settings.values["WATCHERS"] == "none" else [each for each in WATCHERS if each.program]


def obstacles(watcher: Watcher, settings: Settings) -> list[Finding]:
    """What keeps a watcher from running: its ports that another program has."""
    cure = "It is left out until the stack is started again; WATCHERS=none leaves all of them out."
    return [
        finding
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        for finding in doctor.ports(ports(settings, [watcher], kind), kind, cure, "warning")
        if finding.state == "warning"
    ]


def choose(settings: Settings) -> None:
    """Choose the watchers that run with the stack, and the page's port.

    The choice holds until the next start, also for who calls with another PATH.
    """
    candidates = found(settings)
    why_not = {each.name: "; ".join(map(str, obstacles(each, settings))) for each in candidates}
    page = settings.port(PAGE.port_variable)
    if GRAFANA in candidates:  # the page makes room for it
        others = {settings.port(name) for name in DEFAULTS if name.endswith("_PORT")}
        page = next((each for each in range(page + 1, 65536) if each not in others and is_free(each)), 0)
    if not page:
        raise SettingError(f"No port above {PAGE.port_variable} is free for the page: set it to a lower one.")
    settings.run.mkdir(parents=True, exist_ok=True)
    _choice_file(settings).write_text(json.dumps({"watchers": why_not, "page": page}))


def _choice_file(settings: Settings) -> Path:
    return settings.run / "watchers.json"


def _choice(settings: Settings) -> dict[str, Any]:
    file = _choice_file(settings)
    return json.loads(file.read_text()) if file.exists() else {"watchers": {}, "page": settings.port("GRAFANA_PORT")}


def started(settings: Settings) -> list[Watcher]:
    """The watchers that run with the stack."""
    chosen = _choice(settings)["watchers"]
    return [each for each in WATCHERS if chosen.get(each.name) == ""]


def left_out(settings: Settings) -> dict[str, str]:
    """The watchers that were found when the stack was started but do not run with it, each with the reason."""
    return {name: reason for name, reason in _choice(settings)["watchers"].items() if reason}


def ports(settings: Settings, watchers: Sequence[Watcher], *kinds: socket.SocketKind) -> dict[str, tuple[int, str]]:
    """The ports of watchers, by variable, each with its watcher's name; of these kinds only, if any."""
    names = [each.name for each in watchers]
    return {
        port.variable: (settings.port(port.variable), port.container)
        for port in compose.ports()
        if port.container in names and port.kind in (kinds or (port.kind,))
    }


def port(program: Program, settings: Settings) -> int:
    """The port that a program answers on."""
    return _choice(settings)["page"] if program is PAGE else settings.port(program.port_variable)


def spans_too(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """What makes a service send its spans to Jaeger beside writing them to files, unless `given` says where they go."""
    if JAEGER not in started(settings) or any(given.get(name) for name in SAYS_WHERE):
        return {}
    protocol = given.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or given.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    port = settings.port("OTLP_GRPC_PORT" if protocol == "grpc" else "OTLP_HTTP_PORT")
    return {"OTEL_TRACES_EXPORTER": "otlp,files", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}


def prepare(watcher: Watcher, settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Write the configuration of a watcher into the state folder; its command line, and its environment."""
    data = settings.state / "watchers" / watcher.name
    data.mkdir(parents=True, exist_ok=True)
    process = Process(watcher.name, data, settings, {each.name for each in (*settings.programs, *started(settings))})
    process.write()
    # That of Prometheus states what runs and what does not, which has no job here.
    entrypoint = process.entrypoint() if watcher == ALERTMANAGER else [watcher.program]
    command = [*entrypoint, *process.command()]
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
        "CLUSTER_PEER": "",
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
