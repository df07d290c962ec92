"""What can be set for the stack: the environment, over the file .env, over these defaults."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack import env_file
from stack.errors import SettingError
from stack.services import PAGE, PROGRAMS, SERVICES, Service

ROOT = Path(__file__).resolve().parents[2]

# .env.example explains each of them; a test keeps the two in step.
DEFAULTS = {
    "MODE": "",
    "PARTS": "",
    "SCALE": "",
    "INSTANCES": "",
    "CONTEXT": "",
    "REGISTRY": "",
    "STATE_DIR": ".local",
    "WATCHERS": "all",
    "PROBE": "1",
    "PROBE_SECONDS": "60",
    **{service.port_variable: str(service.port) for service in PROGRAMS},
    "POSTGRES_PORT": "15432",
    "RABBITMQ_PORT": "5672",
    "RABBITMQ_METRICS_PORT": "15692",
    "JAEGER_UI_PORT": "16686",
    "JAEGER_COLLECTOR_PORT": "14268",
    "JAEGER_AGENT_PORT": "6831",
    "JAEGER_METRICS_PORT": "16688",
    "JAEGER_SPAN_METRICS_PORT": "16689",
    "OTLP_GRPC_PORT": "4317",
    "OTLP_HTTP_PORT": "4318",
    "PROMETHEUS_PORT": "9090",
    "PROMETHEUS_2_PORT": "9091",
    "ALERTMANAGER_PORT": "9093",
    "MAILPIT_PORT": "8025",
    "POSTGRES_EXPORTER_PORT": "9187",
    "GRAFANA_PORT": "3000",
    "ELASTICSEARCH_PORT": "9200",
    "KIBANA_PORT": "5601",
    "LOGSTASH_PORT": "5000",
    "LOKI_PORT": "3100",
    "POSTGRES_PASSWORD": "all-erp-postgres",
    "RABBITMQ_USER": "all-erp",
    "RABBITMQ_PASSWORD": "all-erp-rabbitmq",
    **{f"{service.short.upper()}_BROKER_PASSWORD": f"all-erp-{service.short}-broker" for service in SERVICES},
    "BOOTSTRAP__ADMIN_EMAIL": "admin@platform.example",
    "BOOTSTRAP__ADMIN_PASSWORD": "all-erp-administrator",
    "BOOTSTRAP__SERVICE_SECRET": "all-erp-service-account",
    "ALERT_EMAIL_TO": "operators@all-erp.example",
    "ALERT_CRITICAL_EMAIL_TO": "",
    "ALERT_EMAIL_FROM": "alerts@all-erp.example",
    "SMTP_SMARTHOST": "mailpit:1025",
    "SMTP_REQUIRE_TLS": "false",
    "SMTP_USERNAME": "",
    "SMTP_PASSWORD_FILE": "./dev-environment/alertmanager/no-secret",
    "SLACK_WEBHOOK_URL_FILE": "./dev-environment/alertmanager/no-secret",
    "FORWARDED_ALLOW_IPS": "",
    "GRAFANA_ADMIN_PASSWORD": "admin",
    "GRAFANA_URL": "http://localhost:${GRAFANA_PORT:-3000}",
    "GRAFANA_PROVISIONING": "provisioning",
    "LOGSTASH_STDOUT": "off",
    "LOG_SERVICES": "auth-service,tenant-service,system-service,personnel-service,budget-service,probe",
}

BROKER_LOGINS = (
    "RABBITMQ_USER",
    "RABBITMQ_PASSWORD",
    *(name for name in DEFAULTS if name.endswith("_BROKER_PASSWORD")),
)
# What rabbitmq/start.sh cannot write into a string of JSON.
UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class Settings:
    """The values in force, and those of them that .env gave (they reach the services too)."""

    values: Mapping[str, str]
    from_file: Mapping[str, str]

    @property
    def state(self) -> Path:
        """The folder that holds data, logs and traces."""
        return ROOT / self.values["STATE_DIR"]

    def make_state(self) -> None:
        """Create the folder `state`; `SettingError` if it cannot be created, or is another user's."""
        try:
            self.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"STATE_DIR is {self.state}, which cannot be created: {error.strerror}. Set it to another folder."
            ) from error
        if not os.access(self.state, os.W_OK):
            owner = self.state.owner()
            raise SettingError(
                f"{self.state} cannot be written: it belongs to {owner}. Continue as {owner}, or remove it as {owner} "
                "or root (`make clean`)."
            )

    @property
    def run(self) -> Path:
        """What supervisord needs and writes; part of `state`."""
        return self.state / "run"

    @property
    def programs(self) -> Sequence[Service]:
        """The services, and the probe unless it is switched off."""
        return PROGRAMS if self.values["PROBE"] == "1" else SERVICES

    @property
    def local_programs(self) -> Sequence[Service]:
        """What supervisord runs in local mode, beside PostgreSQL."""
        return (*self.programs, PAGE)

    def port(self, variable: str) -> int:
        """A port by the name of its variable."""
        return int(self.values[variable])


def read(environment: Mapping[str, str] | None = None, file: Path = ROOT / ".env") -> Settings:
    """Read the settings; `SettingError` names the variable whose value cannot be used."""
    environment = os.environ if environment is None else environment
    from_file = env_file.read(file, environment)
    # An empty value counts as none.
    given = {name: value for source in (from_file, environment) for name, value in source.items() if value}
    values = {name: given.get(name) or env_file.expand(default, given) for name, default in DEFAULTS.items()}
    if values["PROBE"] not in ("0", "1"):
        raise SettingError(f"PROBE must be 1 or 0, not {values['PROBE']!r}.")
    if values["WATCHERS"] not in ("all", "none"):
        raise SettingError(f"WATCHERS must be all or none, not {values['WATCHERS']!r}.")
    seconds = values["PROBE_SECONDS"]
    if not re.fullmatch(r"\d+(\.\d+)?", seconds) or not 10 <= float(seconds) <= 300:
        raise SettingError(f"PROBE_SECONDS must be a number from 10 to 300, not {seconds!r}.")
    stated = values["INSTANCES"].split()
    if wrong := [each for each in stated if not re.fullmatch(r"[a-z][a-z0-9-]*=[0-9]+", each)]:
        raise SettingError(f"INSTANCES must be words like budget-service=2, not {wrong[0]!r}.")
    if len({each.partition("=")[0] for each in stated}) < len(stated):
        raise SettingError(f"INSTANCES must name each job once, not {values['INSTANCES']!r}.")
    if (user := values["RABBITMQ_USER"]) in {service.name for service in SERVICES}:
        raise SettingError(f"RABBITMQ_USER must not be {user}, which is the service's own user.")
    for variable in BROKER_LOGINS:
        if UNWRITABLE.search(values[variable]):
            raise SettingError(f"{variable} must hold no control character but tabs and line breaks.")
    taken: dict[str, str] = {}
    for variable in (name for name in DEFAULTS if name.endswith("_PORT")):
        port = values[variable]
        if not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 65536:
            raise SettingError(f"{variable} must be a port from 1 to 65535, not {port!r}.")
        if port in taken:
            raise SettingError(f"{variable} and {taken[port]} are both {port}: give each its own port.")
        taken[port] = variable
    return Settings(values, from_file)
