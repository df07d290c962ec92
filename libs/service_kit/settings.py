"""The settings of a service: read once from the environment, frozen; one line names all that are wrong."""

import re
import sys
from functools import cached_property
from typing import ClassVar, Literal, TypeVar

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

from libs.contracts.services import PORTS
from libs.observability import TelemetrySettings

BROKER_OPTIONS = frozenset(("cafile", "capath", "certfile", "keyfile", "no_verify_ssl"))
"""What the broker's URL may say behind `?`: how to trust its certificate."""
NAMESPACE = "all-erp"
"""The `service.namespace` of the spans."""


class DatabaseSettings(BaseModel):
    """`DATABASE__…`: the service's own database; the URL names a role that row-level security binds.

    `password` may hold any characters; in the URL they would have to be quoted. `url` has it in the end.
    """

    model_config = ConfigDict(frozen=True)
    password: SecretStr | None = None
    url: SecretStr
    pool_size: int = Field(default=10, ge=1, le=200)
    pool_timeout_seconds: float = Field(default=5.0, gt=0)

    @field_validator("url")
    @classmethod
    def _asyncpg(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        try:
            parsed = make_url(url.get_secret_value())
        except ArgumentError:
            raise ValueError("is not a database URL") from None
        has_port = parsed.port is None or 0 < parsed.port < 65536
        if parsed.get_backend_name() != "postgresql" or not parsed.database or not has_port:
            raise ValueError("must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        if password := info.data.get("password"):
            parsed = parsed.set(password=password.get_secret_value())
        return SecretStr(parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False))


def default_url(service: str) -> HttpUrl:
    """The base URL of a service under its name in Docker Compose."""
    return HttpUrl(f"http://{service}-service:{PORTS[service]}")


class ServiceUrls(BaseModel):
    """`SERVICES__…`: the base URLs of the five services."""

    model_config = ConfigDict(frozen=True)
    auth: HttpUrl = default_url("auth")
    tenant: HttpUrl = default_url("tenant")
    system: HttpUrl = default_url("system")
    budget: HttpUrl = default_url("budget")
    personnel: HttpUrl = default_url("personnel")

    def of(self, service: str) -> str:
        """The base URL of a service by its short name, without a slash at the end."""
        return str(getattr(self, service)).rstrip("/")


class EventSettings(BaseModel):
    """`EVENTS__…`: the transport of events, and what it needs: a service account for HTTP, a URL for the broker.

    `broker_user` and `broker_password` may hold any characters; `broker_url` has them in the end.
    """

    model_config = ConfigDict(frozen=True)
    transport: Literal["none", "http", "rabbitmq"] = "none"
    client_secret: SecretStr | None = None
    broker_user: str | None = None
    broker_password: SecretStr | None = None
    broker_url: SecretStr | None = None
    prefetch: int = Field(default=8, ge=1, le=200)
    batch_size: int = Field(default=100, ge=1, le=1000)
    max_attempts: int = Field(default=8, ge=1)
    retry_seconds: float = Field(default=1.0, gt=0)

    @field_validator("broker_url")
    @classmethod
    def _amqp(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is None:
            return None
        try:
            parsed = URL(url.get_secret_value())
        except ValueError:
            raise ValueError("is not a broker URL") from None
        is_amqp = parsed.scheme in ("amqp", "amqps") and parsed.host and parsed.port != 0
        if not is_amqp or parsed.query.keys() - BROKER_OPTIONS:
            raise ValueError("must be amqp://USER:PASSWORD@HOST:PORT/")
        if user := info.data.get("broker_user"):
            parsed = parsed.with_user(user)
        if password := info.data.get("broker_password"):
            parsed = parsed.with_password(password.get_secret_value())
        return SecretStr(str(parsed))

    @model_validator(mode="after")
    def _what_the_transport_needs(self) -> "EventSettings":
        if self.transport == "http" and not self.client_secret:
            raise ValueError("EVENTS__CLIENT_SECRET is required when EVENTS__TRANSPORT is http")
        if self.transport == "rabbitmq" and not self.broker_url:
            raise ValueError("EVENTS__BROKER_URL is required when EVENTS__TRANSPORT is rabbitmq")
        return self


class ServiceSettings(BaseSettings):
    """The settings of every service. A service adds its own fields, and its defaults for `port` and `database`."""

    model_config = SettingsConfigDict(
        env_nested_delimiter="__", nested_model_default_partial_update=True, frozen=True, extra="ignore"
    )
    name: ClassVar[str]
    """The short name: of the folder, the database, the roles and the event subscriber."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Never empty, since an empty host means every address of the machine."""
    port: int = Field(ge=1, le=65535)
    database: DatabaseSettings
    services: ServiceUrls = ServiceUrls()
    events: EventSettings = EventSettings()

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
        wrong = "; ".join(f"{'__'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
    except SettingsError as error:  # a group such as EVENTS has a value of its own, and it is not JSON
        wrong = re.sub(r'"(\w+)"', lambda name: name[1].upper(), str(error), count=1)
    else:
        return loaded
    print(f"{settings.name}-service cannot start: {wrong}", file=sys.stderr)
    raise SystemExit(2)
