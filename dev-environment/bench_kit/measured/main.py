"""Serves the measured endpoint: `python -m bench_kit.measured.main kit`, or `plain`."""

import sys
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from bench_kit.measured import notes, plain
from libs.service_kit import app, migrations, server
from libs.service_kit.settings import DatabaseSettings, ServiceSettings, default_database, load

migrations.SERVICES = Path(__file__).parents[1]


class Settings(ServiceSettings):
    """The settings of the measured service."""

    name: ClassVar[str] = "measured"
    port: int = Field(default=3999, ge=1, le=65535)
    database: DatabaseSettings = default_database("measured")


def main(kind: str) -> None:
    """Serve until SIGTERM."""
    settings = load(Settings)
    if kind == "plain":
        application = plain.create_app(settings.database.pool_size)
    else:
        conflicts = {"uq_notes_tenant_id_code": notes.NoteCodeTaken}
        application = app.create_app(settings, description="", routers=[notes.router], conflicts=conflicts)
    server.run(application, host=settings.host, port=settings.port)


if __name__ == "__main__":
    main(sys.argv[1])
