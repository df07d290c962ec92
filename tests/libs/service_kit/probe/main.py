"""The composition root of the probe, built and started like any service."""

from pathlib import Path
from typing import ClassVar

from fastapi import FastAPI
from pydantic import Field

from libs.service_kit import app, migrations
from libs.service_kit.events.inbox import Handlers
from libs.service_kit.settings import DatabaseSettings, ServiceSettings, default_database
from tests.libs.service_kit.probe.notes import CONFLICTS, Base, router


class Settings(ServiceSettings):
    """What the probe reads."""

    name: ClassVar[str] = "probe"
    port: int = Field(default=3999, ge=1, le=65535)
    database: DatabaseSettings = default_database("probe")


def create_app(settings: Settings, handlers: Handlers | None = None) -> FastAPI:
    """Build the probe."""
    return app.create_app(
        settings,
        description="A probe of the kit.",
        routers=[router],
        handlers=handlers,
        conflicts=CONFLICTS,
        exports=Base.metadata,
    )


if __name__ == "__main__":
    migrations.SERVICES = Path(__file__).parents[1]  # where the probe is the only service
    app.serve(Settings, create_app)
