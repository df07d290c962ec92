"""Tenants in requests and answers."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, StrictBool

from libs.contracts.plans import PlanName
from libs.service_kit.fields import Code, Input, Name, Output, Prose


class TenantCreate(Input):
    """A new tenant. Its users log in with its code, which never changes."""

    code: Code
    name: Name


class TenantUpdate(Input):
    """The fields of a tenant that can change."""

    name: Name


class PlanChange(Input):
    """The plan of a tenant."""

    plan: PlanName


class Suspension(Input):
    """Why a tenant is suspended."""

    reason: Prose


class Closing(Input):
    """Why a tenant is closed, and whether its data may be left where nobody can reach it."""

    reason: Prose
    without_export: StrictBool = False


class ProvisioningStepOut(Output):
    """One service's step in the provisioning of a tenant."""

    service: str
    status: Literal["pending", "prepared", "failed"]
    reason: str | None = Field(description="Why it failed")
    at: datetime | None = Field(description="When it answered")
    exported_at: datetime | None = Field(description="When it had given its part, since the present suspension")


class TenantOut(Output):
    """A tenant, with the steps of its provisioning."""

    id: UUID
    code: str
    name: str
    status: Literal["provisioning", "active", "suspended", "closed"]
    reason: str | None = Field(description="Why it is suspended or closed")
    plan: PlanName
    provisioning: list[ProvisioningStepOut]
    created_at: datetime
    updated_at: datetime
    version: int
