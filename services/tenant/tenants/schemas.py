"""What crosses the wire about tenants."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from libs.service_kit.fields import Code, Input, Name, Output


class TenantCreate(Input):
    """A new tenant. Its people log in by its code, which never changes."""

    code: Code
    name: Name


class TenantUpdate(Input):
    """What can change about a tenant."""

    name: Name


class ProvisioningStepOut(Output):
    """How far one service is with a tenant."""

    service: str
    status: Literal["pending", "prepared", "failed"]
    reason: str | None = Field(description="Why it failed")
    at: datetime | None = Field(description="When it answered")


class TenantOut(Output):
    """A tenant, with the steps of its provisioning."""

    id: UUID
    code: str
    name: str
    status: Literal["provisioning", "active", "suspended", "closed"]
    reason: str | None = Field(description="Why it is closed")
    provisioning: list[ProvisioningStepOut]
    created_at: datetime
    updated_at: datetime
    version: int
