"""Settings of the tenant service."""

from typing import ClassVar

from pydantic import Field

from libs.service_kit.settings import DatabaseSettings, ServiceSettings, default_database
from libs.services import PORTS


class Settings(ServiceSettings):
    """What only the tenant service reads."""

    name: ClassVar[str] = "tenant"
    port: int = Field(default=PORTS["tenant"], ge=1, le=65535)
    database: DatabaseSettings = default_database("tenant")
    provisioning_timeout_seconds: int = Field(default=120, ge=1, le=86400)
    """The seconds that the services may take to prepare a tenant before it is closed."""
