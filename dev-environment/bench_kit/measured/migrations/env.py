"""Where Alembic finds the models of the measured service."""

from bench_kit.measured.notes import Base

from libs.service_kit.migrations import run_env

run_env(Base.metadata)
