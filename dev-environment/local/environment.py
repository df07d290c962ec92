"""The environment of each process of the local stack: one table."""

import os
from collections.abc import Mapping
from urllib.parse import quote

from local import postgres
from local.settings import SERVICES, Service, Settings

# Five processes of one host cannot share it; each service answers /metrics on its own port.
NOT_FOR_SERVICES = ("METRICS_PORT",)


def decided(service: Service, settings: Settings) -> dict[str, str]:
    """What the local stack decides about a service, whatever the caller's environment says."""
    return {
        "SERVICE_NAME": service.name,
        "HOST": settings.from_file.get("HOST", "127.0.0.1"),
        "PORT": settings.values[service.port_variable],
        "LOG_DIR": str(settings.state / "logs" / service.name),
        "TRACES_DIR": str(settings.state / "traces" / service.name),  # heeded unless an exporter is set
        "DATABASE__URL": database_url(service.short, settings, role="app"),
        "EVENTS__TRANSPORT": "http",
        # Or else glibc keeps what a password check has used, 19 MB for each thread, until the process ends.
        "MALLOC_MMAP_THRESHOLD_": "1048576",
        "EVENTS__CLIENT_SECRET": settings.values["BOOTSTRAP__SERVICE_SECRET"],
        **_urls(settings),
    }


def of_service(service: Service, settings: Settings, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a service is started with: what .env says, over it the caller's environment, over both what is decided."""
    merged = {**settings.from_file, **(os.environ if outer is None else outer), **decided(service, settings)}
    return {name: value for name, value in merged.items() if name not in NOT_FOR_SERVICES}


def of_preparation(settings: Settings, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the process that migrates and bootstraps is started with: auth's, and the owners' databases."""
    bootstrap = {name: value for name, value in settings.values.items() if name.startswith("BOOTSTRAP__")}
    template = database_url("{service}", settings, role="owner")
    where = {
        "SUPERUSER_URL": superuser_url(settings),
        "MIGRATE_URL_TEMPLATE": template,
        "POSTGRES_PASSWORD": settings.values["POSTGRES_PASSWORD"],
    }
    return of_service(SERVICES[0], settings, outer) | bootstrap | where


def of_client(settings: Settings, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program is started with that talks to the running stack: where it is and who may log in."""
    who = {name: value for name, value in settings.values.items() if name.startswith("BOOTSTRAP__ADMIN")}
    return {**settings.from_file, **(os.environ if outer is None else outer)} | who | _urls(settings)


def url(service: Service, settings: Settings) -> str:
    """Where a service answers."""
    return f"http://127.0.0.1:{settings.values[service.port_variable]}"


def database_url(service: str, settings: Settings, *, role: str) -> str:
    """The address of a service's database as one of its roles, `app` or `owner`."""
    return _url(f"{service}_{role}", service, settings, driver="postgresql+asyncpg")


def superuser_url(settings: Settings) -> str:
    """The address from which databases and roles are created, for asyncpg."""
    return _url(postgres.SUPERUSER, "postgres", settings, driver="postgresql")


def _urls(settings: Settings) -> dict[str, str]:
    return {f"SERVICES__{each.short.upper()}": url(each, settings) for each in SERVICES}


def _url(user: str, database: str, settings: Settings, *, driver: str) -> str:
    password = quote(settings.values["POSTGRES_PASSWORD"], safe="")
    return f"{driver}://{user}:{password}@127.0.0.1:{settings.values['POSTGRES_PORT']}/{database}"
