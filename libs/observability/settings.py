"""What the environment says about logging, metrics and tracing."""

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LEVELS = ("debug", "info", "warning", "error", "critical")


class TelemetrySettings(BaseSettings):
    """Read from environment variables of the fields' names; the `OTEL_*` variables stay the SDK's own.

    An empty variable counts as not set. A wrong value raises pydantic's `ValidationError`, which names the variable.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    service_name: str = Field(
        default="unknown-service", validation_alias=AliasChoices("SERVICE_NAME", "OTEL_SERVICE_NAME")
    )
    service_namespace: str = Field(default="", description="the system that the service is a part of")
    service_version: str = "dev"
    environment: str = Field(default="development", validation_alias="NODE_ENV")

    log_level: str = "info"
    log_dir: Path = Path("/var/log/app")
    log_file_bytes: int = Field(default=50 * 1024 * 1024, ge=1024, description="a file of this size is rotated")
    log_files_kept: int = Field(default=5, ge=1, description="rotated files kept of each log file")
    log_buffer_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="lines waiting for the disk; more are dropped"
    )

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_host: str = Field(default="127.0.0.1", validation_alias=AliasChoices("METRICS_HOST", "HOST"))

    jaeger_agent_host: str | None = None
    jaeger_agent_port: int = Field(default=6831, ge=1, le=65535)
    traces_dir: Path | None = None
    trace_file_bytes: int = Field(default=20 * 1024 * 1024, ge=1024, description="a span file of this size is rotated")
    trace_files_kept: int = Field(default=3, ge=1, description="rotated span files kept")

    @field_validator("log_level", mode="before")
    @classmethod
    def _known_level(cls, value: object) -> str:
        level = str(value).strip().lower()
        level = "warning" if level == "warn" else level
        if level not in LEVELS:
            raise ValueError(f"must be one of {', '.join(LEVELS)} (or warn), not {value!r}")
        return level

    @classmethod
    def for_service(cls, name: str, namespace: str = "") -> Self:
        """The environment's settings, with this name and namespace where the environment gives none."""
        settings = cls()
        ours = {"service_name": name, "service_namespace": namespace}
        missing = {field: value for field, value in ours.items() if field not in settings.model_fields_set}
        return settings.model_copy(update=missing)
