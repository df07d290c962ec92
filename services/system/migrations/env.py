"""Alembic's entry: the metadata of this service."""

from libs.service_kit.migrations import run_env
from services.system.audit.models import Base

run_env(Base.metadata)
