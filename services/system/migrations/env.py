"""Alembic's entry: the metadata of this service, with the tables of every noun."""

from libs.service_kit.migrations import run_env
from services.system.audit import models as audit
from services.system.codes import models as codes
from services.system.database import Base
from services.system.tenant_settings import models as tenant_settings

assert audit and codes and tenant_settings  # imported for the tables that they add
run_env(Base.metadata)
