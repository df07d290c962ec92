"""The settings of a service: read once from the environment, frozen; one line names all that are wrong."""

import errno
import re
import socket
import sys
from functools import cached_property
from typing import ClassVar, Literal, NoReturn, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from yarl import URL

from libs.observability import TelemetrySettings
from libs.observability.settings import in_words
from libs.service_kit.setting_types import BaseUrl, Networks, Secret, check_certificates
from libs.services import PORTS

BROKER_OPTIONS = frozenset(("cafile", "capath", "certfile", "keyfile", "no_verify_ssl"))
"""What the broker's URL may say behind `?`: how to trust its certificate."""
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
NAMESPACE = "all-erp"
"""The `service.namespace` of the spans."""


class DatabaseSettings(BaseModel):
    """`DATABASE__…`: the service's own database; the URL names a role that row-level security binds.

    `password` may hold any characters; in the URL they would have to be quoted. `url` has it in the end.
    """

    model_config = ConfigDict(frozen=True)
    password: Secret | None = None
    url: Secret
    pool_size: int = Field(default=10, ge=1, le=200)
    pool_timeout_seconds: float = Field(default=5.0, gt=0, le=300)

    @field_validator("url")
    @classmethod
    def _asyncpg(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        try:
            parsed = make_url(url.get_secret_value())
        except ArgumentError:
            raise ValueError("is not a database URL") from None
        has_port = parsed.port is None or 0 < parsed.port < 65536
        is_whole = parsed.username and parsed.host and parsed.database and has_port
        knows_options = not parsed.query.keys() - {"ssl"} and parsed.query.get("ssl", "prefer") in SSL_MODES
        if parsed.get_backend_name() != "postgresql" or not is_whole or not knows_options:
            raise ValueError(
                f"must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and may end in ?ssl={SSL_MODES[-1]}"
            )
        if password := info.data.get("password"):
            parsed = parsed.set(password=password.get_secret_value())
        return SecretStr(parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False))


def default_url(service: str) -> HttpUrl:
    """The base URL of a service under its name in Docker Compose."""
    return HttpUrl(f"http://{service}-service:{PORTS[service]}")


class ServiceUrls(BaseModel):
    """`SERVICES__…`: the base URLs of the five services."""

    model_config = ConfigDict(frozen=True)
    auth: BaseUrl = default_url("auth")
    tenant: BaseUrl = default_url("tenant")
    system: BaseUrl = default_url("system")
    budget: BaseUrl = default_url("budget")
    personnel: BaseUrl = default_url("personnel")

    def of(self, service: str) -> str:
        """The base URL of a service by its short name, without a slash at the end."""
        return str(getattr(self, service)).rstrip("/")


class EventSettings(BaseModel):
    """`EVENTS__…`: the transport of events, and what it needs: a service account for HTTP, a URL for the broker.

    `broker_user` and `broker_password` may hold any characters; `broker_url` has them in the end.
    """

    model_config = ConfigDict(frozen=True)
    transport: Literal["none", "http", "rabbitmq"] = "none"
    client_secret: Secret | None = Field(default=None, validate_default=True)
    broker_user: Secret | None = None
    broker_password: Secret | None = None
    broker_url: Secret | None = Field(default=None, validate_default=True)
    prefetch: int = Field(default=4, ge=1, le=200)
    batch_size: int = Field(default=100, ge=1, le=1000)
    max_attempts: int = Field(default=8, ge=1, le=1000)
    retry_seconds: float = Field(default=1.0, ge=0.001, le=3600)  # the broker counts milliseconds

    @field_validator("client_secret")
    @classmethod
    def _for_http(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("transport") == "http" and not secret:
            raise ValueError("is required when EVENTS__TRANSPORT is http")
        return secret

    @field_validator("broker_url")
    @classmethod
    def _amqp(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if not url:
            if info.data.get("transport") == "rabbitmq":
                raise ValueError("is required when EVENTS__TRANSPORT is rabbitmq")
            return None
        try:
            parsed = URL(url.get_secret_value())
        except ValueError:
            raise ValueError("is not a broker URL") from None
        is_amqp = parsed.scheme in ("amqp", "amqps") and parsed.host and parsed.port != 0
        if not is_amqp or parsed.query.keys() - BROKER_OPTIONS:
            raise ValueError("must be amqp://USER:PASSWORD@HOST:PORT/")
        check_certificates(parsed.query)
        if user := info.data.get("broker_user"):
            parsed = parsed.with_user(user.get_secret_value())
        if password := info.data.get("broker_password"):
            parsed = parsed.with_password(password.get_secret_value())
        return SecretStr(str(parsed))


class ServiceSettings(BaseSettings):
    """The settings of every service. A service adds its own fields, and its defaults for `port` and `database`."""

    model_config = SettingsConfigDict(
        env_nested_delimiter="__", nested_model_default_partial_update=True, frozen=True, extra="ignore"
    )
    name: ClassVar[str]
    """The short name: of the folder, the database, the roles and the event subscriber."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    """Never empty, since an empty host means every address of the machine."""
    port: int = Field(ge=1, le=65535)
    forwarded_allow_ips: Networks = ""
    """The proxies that are believed about the address of a client."""
    drain_seconds: float = Field(default=0, ge=0, le=300)
    """For how long it goes on answering after a SIGTERM, before it stops; 0 suits a single replica, whose callers have nowhere else to go."""
    database: DatabaseSettings
    services: ServiceUrls = ServiceUrls()
    events: EventSettings = EventSettings()

    @model_validator(mode="after")
    def _a_connection_for_each_event(self) -> Self:
        prefetch, most = self.events.prefetch, max(1, self.database.pool_size // 2)
        if self.events.transport == "rabbitmq" and prefetch > most:
            raise ValueError(f"EVENTS__PREFETCH: {prefetch} is more than half of DATABASE__POOL_SIZE, which is {most}")
        return self

    @model_validator(mode="after")
    def _itself_at_the_broker(self) -> Self:
        url, source = self.events.broker_url, f"{self.name}-service"
        if self.events.transport == "rabbitmq" and url and URL(url.get_secret_value()).user != source:
            raise ValueError(f"EVENTS__BROKER_USER: must be {source}, the source of its events")
        return self

    @cached_property
    def telemetry(self) -> TelemetrySettings:
        """The settings of observability, from the same environment.

        When `METRICS_PORT` is the service's own port, the service itself serves the metrics, and no second listener is
        opened.
        """
        telemetry = TelemetrySettings.for_service(f"{self.name}-service", NAMESPACE)
        return telemetry.model_copy(update={"metrics_port": None}) if telemetry.metrics_port == self.port else telemetry


def default_database(service: str) -> DatabaseSettings:
    """The database under its name in Docker Compose. The password comes with `DATABASE__URL`, never from the code."""
    return DatabaseSettings(url=SecretStr(f"postgresql://{service}_app@postgres:5432/{service}"))


Loaded = TypeVar("Loaded", bound=ServiceSettings)


def load(settings: type[Loaded]) -> Loaded:
    """Read the environment. If it is wrong, print one line with each wrong variable and exit with status 2."""
    try:
        loaded = settings()  # pyright: ignore[reportCallIssue]  # the environment gives what has no default
        _ = loaded.telemetry
    except ValidationError as error:
        cannot_start(settings, in_words(error))
    except SettingsError as error:  # a group such as EVENTS has a value of its own, and it is not JSON
        group = re.findall(r'"(\w+)"', str(error))[0].upper()
        cannot_start(settings, f"{group}: set its members, {group}__…, each by itself")
    return loaded


def check_address(settings: ServiceSettings) -> None:
    """Exit with one line that names `HOST` or `PORT`, unless the service can listen there."""
    try:
        for family, kind, _, _, address in socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
                trial.listen(1)
    except UnicodeError:
        cannot_start(type(settings), "HOST: is not a name of a host")
    except OSError as error:
        name = "PORT" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "HOST"
        where = f"{settings.host!r}, port {settings.port}"
        cannot_start(type(settings), f"{name}: cannot listen on {where}: {error.strerror or error}")


def cannot_start(settings: type[ServiceSettings], wrong: str) -> NoReturn:
    """Print one line and exit with status 2."""
    print(f"{settings.name}-service cannot start: {wrong}", file=sys.stderr)
    raise SystemExit(2)
