"""Alembic's entry: the metadata of this service, with the tables of every noun."""

from libs.service_kit.migrations import run_env
from services.personnel.database import Base
from services.personnel.departments import models as departments
from services.personnel.employees import models as employees

assert departments and employees  # imported for the tables that they add
run_env(Base.metadata)
