"""Where everything of the stack answers, and the environment that each of its processes gets."""

import os
import re
from collections.abc import Mapping

from libs.services import account_secret
from stack import postgres
from stack.services import AUTH, PAGE, PROBE, SERVICES, Service
from stack.settings import Settings

# Five processes on one host cannot share METRICS_PORT; each service answers /metrics on its own port. The logins of
# bootstrap are for it alone: from them every service could speak for every other.
NOT_FOR_SERVICES = re.compile(r"METRICS_PORT|BOOTSTRAP__\w+")
# The page reads what others have written, and needs the one login that the story is played with.
NOT_FOR_PAGE = re.compile(r"\w*(?:PASSWORD|SECRET|TOKEN|KEY|URL)\w*", re.IGNORECASE)
# What libraries read by themselves from the caller's shell, where it is meant for other programs: PostgreSQL's client,
# proxies, gRPC, TLS, uvicorn, prometheus_client and Python.
NOT_FROM_SHELL = re.compile(
    r"PG[A-Z]+|(?:https?|all|ftp|no|wss?|grpc|no_grpc)_proxy|GRPC_\w+|PROMETHEUS_MULTIPROC_DIR|WEB_CONCURRENCY"
    r"|SSL_CERT_(?:FILE|DIR)|SSLKEYLOGFILE|OPENSSL_\w+|(?:REQUESTS|CURL)_CA_BUNDLE"
    r"|PYTHON(?!(?:PATH|UTF8|DONTWRITEBYTECODE|PYCACHEPREFIX)$)\w+",
    re.IGNORECASE,
)


def decided(service: Service, settings: Settings) -> dict[str, str]:
    """What local mode decides about a service, whatever the caller's environment says."""
    if service is PAGE:
        # One arena of memory for its threads, which mostly wait: it takes 7 MB less.
        own = {"NICEGUI_STORAGE_PATH": str(settings.run / "nicegui"), "MALLOC_ARENA_MAX": "1"}
        return own | _login(settings) | _urls(settings)
    common = {
        "SERVICE_NAME": service.name,
        "HOST": settings.from_file.get("HOST", "127.0.0.1"),
        "LOG_DIR": str(settings.state / "logs" / service.name),
        "TRACES_DIR": str(settings.state / "traces" / service.name),  # unused when an exporter is set
        **_urls(settings),
    }
    port = settings.values[service.port_variable]
    if service is PROBE:
        return common | _login(settings) | {"METRICS_PORT": port, "PROBE_SECONDS": settings.values["PROBE_SECONDS"]}
    return common | {
        "PORT": port,
        "DATABASE__URL": f"postgresql://{service.short}_app@127.0.0.1:{settings.port('POSTGRES_PORT')}/{service.short}",
        "DATABASE__PASSWORD": settings.values["POSTGRES_PASSWORD"],
        "EVENTS__TRANSPORT": "http",
        "EVENTS__CLIENT_SECRET": account_secret(settings.values["BOOTSTRAP__SERVICE_SECRET"], service.name),
    }


def of_service(service: Service, settings: Settings, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a service: `decided`, over the caller's environment, over the file .env."""
    given = {**settings.from_file, **from_shell(outer)}
    unwanted = NOT_FOR_PAGE if service is PAGE else NOT_FOR_SERVICES
    kept = {name: value for name, value in given.items() if not unwanted.fullmatch(name)}
    return kept | decided(service, settings)


def of_preparation(settings: Settings, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of `stack.prepare`: auth's, with the first administrator and the databases' owners."""
    bootstrap = {name: value for name, value in settings.values.items() if name.startswith("BOOTSTRAP__")}
    template = database_url("{service}", settings, role="owner")
    where = {
        "SUPERUSER_URL": superuser_url(settings),
        "MIGRATE_URL_TEMPLATE": template,
        "POSTGRES_PASSWORD": settings.values["POSTGRES_PASSWORD"],
    }
    return of_service(AUTH, settings, outer) | bootstrap | where


def of_client(settings: Settings, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a client of the running stack: the services' URLs, and the administrator who may log in."""
    return {**settings.from_file, **from_shell(outer)} | _login(settings) | _urls(settings)


def url(service: Service, settings: Settings) -> str:
    """Where a service answers."""
    return f"http://127.0.0.1:{settings.values[service.port_variable]}"


def database_url(service: str, settings: Settings, *, role: str) -> str:
    """The address of a service's database as one of its roles, `app` or `owner`."""
    return _database(settings, service, f"{service}_{role}", "postgresql+asyncpg")


def superuser_url(settings: Settings, database: str = "postgres") -> str:
    """The address of a database for who may see and do everything."""
    return _database(settings, database, postgres.SUPERUSER, "postgresql")


def from_shell(outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without what is meant for other programs."""
    given = os.environ if outer is None else outer
    return {name: value for name, value in given.items() if not NOT_FROM_SHELL.fullmatch(name)}


def forget_other_servers() -> None:
    """Take what drivers of PostgreSQL read by themselves out of this process's environment: it is about other servers."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _login(settings: Settings) -> dict[str, str]:
    return {name: value for name, value in settings.values.items() if name.startswith("BOOTSTRAP__ADMIN")}


def _urls(settings: Settings) -> dict[str, str]:
    return {f"SERVICES__{each.short.upper()}": url(each, settings) for each in SERVICES}


def _database(settings: Settings, database: str, user: str, driver: str) -> str:
    password, port = settings.values["POSTGRES_PASSWORD"], settings.port("POSTGRES_PORT")
    return postgres.address(port, password, database=database, user=user, driver=driver)
