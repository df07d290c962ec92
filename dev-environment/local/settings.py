"""What can be set for the local stack: the environment, over the file .env, over these defaults."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# .env.example explains each of them; a test keeps the two in step.
DEFAULTS = {
    "MODE": "",
    "PARTS": "",
    "STATE_DIR": ".local",
    "AUTH_PORT": "3001",
    "TENANT_PORT": "3002",
    "SYSTEM_PORT": "3003",
    "BUDGET_PORT": "3010",
    "PERSONNEL_PORT": "3020",
    "POSTGRES_PORT": "15432",
    "RABBITMQ_PORT": "5672",
    "RABBITMQ_METRICS_PORT": "15692",
    "JAEGER_UI_PORT": "16686",
    "JAEGER_COLLECTOR_PORT": "14268",
    "JAEGER_AGENT_PORT": "6831",
    "OTLP_GRPC_PORT": "4317",
    "OTLP_HTTP_PORT": "4318",
    "PROMETHEUS_PORT": "9090",
    "ALERTMANAGER_PORT": "9093",
    "MAILPIT_PORT": "8025",
    "POSTGRES_EXPORTER_PORT": "9187",
    "GRAFANA_PORT": "3000",
    "ELASTICSEARCH_PORT": "9200",
    "KIBANA_PORT": "5601",
    "LOGSTASH_PORT": "5000",
    "POSTGRES_PASSWORD": "all-erp-postgres",
    "RABBITMQ_USER": "all-erp",
    "RABBITMQ_PASSWORD": "all-erp-rabbitmq",
    "BOOTSTRAP__ADMIN_EMAIL": "admin@platform.example",
    "BOOTSTRAP__ADMIN_PASSWORD": "all-erp-administrator",
    "BOOTSTRAP__SERVICE_SECRET": "all-erp-service-account",
    "ALERT_EMAIL_TO": "operators@all-erp.example",
    "ALERT_EMAIL_FROM": "alerts@all-erp.example",
    "SMTP_SMARTHOST": "mailpit:1025",
    "SMTP_REQUIRE_TLS": "false",
    "SMTP_USERNAME": "",
    "SMTP_PASSWORD_FILE": "./dev-environment/alertmanager/no-secret",
    "SLACK_WEBHOOK_URL_FILE": "./dev-environment/alertmanager/no-secret",
    "GRAFANA_ADMIN_PASSWORD": "admin",
    "GRAFANA_URL": "http://localhost:${GRAFANA_PORT:-3000}",
    "LOGSTASH_STDOUT": "off",
}


class SettingError(Exception):
    """A value that cannot be used; the message names the variable."""


@dataclass(frozen=True)
class Service:
    """One of the five: its short name and the variable that holds its port."""

    short: str
    port_variable: str

    @property
    def name(self) -> str:
        """The name in logs, traces and metrics."""
        return f"{self.short}-service"


SERVICES = (
    Service("auth", "AUTH_PORT"),
    Service("tenant", "TENANT_PORT"),
    Service("system", "SYSTEM_PORT"),
    Service("budget", "BUDGET_PORT"),
    Service("personnel", "PERSONNEL_PORT"),
)


@dataclass(frozen=True)
class Settings:
    """The values in force, and those of them that .env gave (they reach the services too)."""

    values: Mapping[str, str]
    from_file: Mapping[str, str]

    @property
    def state(self) -> Path:
        """The folder for everything that running leaves behind."""
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

    def port(self, variable: str) -> int:
        """A port by the name of its variable."""
        return int(self.values[variable])


def read(environment: Mapping[str, str] | None = None, file: Path = ROOT / ".env") -> Settings:
    """Read the settings; `SettingError` names the variable whose value cannot be used."""
    environment = os.environ if environment is None else environment
    from_file = parse(file.read_text()) if file.exists() else {}
    values = DEFAULTS | {name: text for name, text in from_file.items() if name in DEFAULTS and text}
    values |= {name: environment[name] for name in DEFAULTS if environment.get(name)}
    taken: dict[str, str] = {}
    for variable in (name for name in DEFAULTS if name.endswith("_PORT")):
        text = values[variable]
        if not re.fullmatch(r"\d{1,5}", text) or not 0 < int(text) < 65536:
            raise SettingError(f"{variable} must be a port from 1 to 65535, not {text!r}")
        if text in taken:
            raise SettingError(f"{variable} and {taken[text]} are both {text}: give each its own port")
        taken[text] = variable
    return Settings(values, from_file)


def parse(text: str) -> dict[str, str]:
    """The variables of a file in the usual form: `NAME=value`, with comments and quotes allowed."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)=\s*(.*?)\s*", line)
        if match:
            name, value = match.groups()
            quoted = re.fullmatch(r"""(["'])(.*?)\1(?:\s+#.*)?""", value)
            found[name] = quoted[2] if quoted else re.sub(r"(^|\s+)#.*", "", value)
    return found


def service_named(name: str) -> Service:
    """The service called `auth` or `auth-service`; `SettingError` lists the names for any other."""
    for service in SERVICES:
        if name in (service.short, service.name):
            return service
    raise SettingError(f"there is no service {name!r}: use one of {', '.join(each.short for each in SERVICES)}")
