"""Settings of the system service."""

from typing import ClassVar

from pydantic import Field

from libs.service_kit.settings import DatabaseSettings, ServiceSettings, default_database
from libs.services import PORTS


class Settings(ServiceSettings):
    """What only the system service reads."""

    name: ClassVar[str] = "system"
    port: int = Field(default=PORTS["system"], ge=1, le=65535)
    database: DatabaseSettings = default_database("system")
