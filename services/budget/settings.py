"""Settings of the budget service."""

from typing import ClassVar

from pydantic import Field

from libs.service_kit.settings import DatabaseSettings, ServiceSettings, default_database
from libs.services import PORTS


class Settings(ServiceSettings):
    """The settings of the budget service."""

    name: ClassVar[str] = "budget"
    port: int = Field(default=PORTS["budget"], ge=1, le=65535)
    database: DatabaseSettings = default_database("budget")
