"""Settings of the personnel service."""

from typing import ClassVar

from pydantic import Field

from libs.service_kit.settings import DatabaseSettings, ServiceSettings, default_database
from libs.services import PORTS


class Settings(ServiceSettings):
    """The settings of the personnel service."""

    name: ClassVar[str] = "personnel"
    port: int = Field(default=PORTS["personnel"], ge=1, le=65535)
    database: DatabaseSettings = default_database("personnel")
