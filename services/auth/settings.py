"""Settings of the auth service."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from libs.service_kit.fields import Email
from libs.service_kit.setting_types import Secret
from libs.service_kit.settings import DatabaseSettings, ServiceSettings, default_database
from libs.services import PORTS
from services.auth.fields import NewPassword


class BootstrapSettings(BaseModel):
    """`BOOTSTRAP__…`: for `python -m services.auth.bootstrap`. The service itself does not use them."""

    model_config = ConfigDict(frozen=True)
    admin_email: Email | None = None
    admin_password: NewPassword | None = None
    service_secret: Secret | None = Field(default=None, min_length=16, max_length=200)
    """What the secrets of the five service accounts are derived from. Outside development it must be random:
    `openssl rand -hex 32`."""


class Settings(ServiceSettings):
    """The settings of the auth service."""

    name: ClassVar[str] = "auth"
    port: int = Field(default=PORTS["auth"], ge=1, le=65535)
    database: DatabaseSettings = default_database("auth")
    bootstrap: BootstrapSettings = BootstrapSettings()
