"""What the environment says about logging, metrics and tracing."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LEVELS = ("debug", "info", "warning", "error", "critical")
LONGEST = 1000
GIGABYTE = 1024**3


def _clean(value: Any) -> Any:
    """The value, if each log line can show it."""
    text = str(value)
    if not text.isprintable() or text.isspace() or len(text) > LONGEST:
        raise ValueError(f"must be 1 to {LONGEST} characters, not only blanks, without control characters")
    return value


Name = Annotated[str, AfterValidator(_clean)]
Folder = Annotated[Path, AfterValidator(_clean)]


def in_words(error: ValidationError) -> str:
    """One line with each wrong variable, as the environment has it, and what is wrong with it; never its value."""
    found: dict[str, str] = {}
    for each in error.errors(include_input=False):
        name = _as_given("__".join(map(str, each["loc"])).upper())
        message = str(each.get("ctx", {}).get("error") or each["msg"])
        found.setdefault(name, f"{name}: {message}" if name else message)
    return "; ".join(found.values())


def _as_given(variable: str) -> str:
    """The one of a variable's names that the environment has: pydantic tells of the first."""
    for field in TelemetrySettings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices) and variable in field.validation_alias.choices:
            return next((str(name) for name in field.validation_alias.choices if os.environ.get(str(name))), variable)
    return variable


class TelemetrySettings(BaseSettings):
    """Read from environment variables of the fields' names; the `OTEL_*` variables stay the SDK's own.

    An empty variable counts as not set. A wrong value raises pydantic's `ValidationError`, which names the variable.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    service_name: Name = Field(
        default="unknown-service", validation_alias=AliasChoices("SERVICE_NAME", "OTEL_SERVICE_NAME")
    )
    service_namespace: Name = Field(default="", description="the system that the service is a part of")
    service_version: Name = "dev"
    environment: Name = Field(default="development", validation_alias="NODE_ENV")

    log_level: str = "info"
    log_dir: Folder = Path("/var/log/app")
    log_file_bytes: int = Field(
        default=50 * 1024 * 1024, ge=1024, le=GIGABYTE, description="a file of this size is rotated"
    )
    log_files_kept: int = Field(default=5, ge=1, le=1000, description="rotated files kept of each log file")
    log_buffer_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, le=GIGABYTE, description="lines waiting for the disk; more are dropped"
    )

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_host: Name = Field(default="127.0.0.1", validation_alias=AliasChoices("METRICS_HOST", "HOST"))

    jaeger_agent_host: Name | None = None
    jaeger_agent_port: int = Field(default=6831, ge=1, le=65535)
    traces_dir: Folder | None = None
    trace_file_bytes: int = Field(
        default=20 * 1024 * 1024, ge=1024, le=GIGABYTE, description="a span file of this size is rotated"
    )
    trace_files_kept: int = Field(default=3, ge=1, le=1000, description="rotated span files kept")

    @field_validator("log_level", mode="before")
    @classmethod
    def _known_level(cls, value: object) -> str:
        level = str(value).strip().lower()
        level = "warning" if level == "warn" else level
        if level not in LEVELS:
            raise ValueError(f"must be one of {', '.join(LEVELS)} (or warn)")
        return level

    @classmethod
    def for_service(cls, name: str, namespace: str = "") -> Self:
        """The environment's settings, with this name and namespace where the environment gives none."""
        settings = cls()
        ours = {"service_name": name, "service_namespace": namespace}
        missing = {field: value for field, value in ours.items() if field not in settings.model_fields_set}
        return settings.model_copy(update=missing)
