"""Alembic's entry for the probe."""

from libs.service_kit.migrations import run_env
from tests.libs.service_kit.probe.notes import Base

run_env(Base.metadata)
