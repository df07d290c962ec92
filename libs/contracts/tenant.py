"""The events of the tenant service: a tenant's life."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from libs.contracts.events import Event


class TenantCreated(Event):
    """A tenant is being provisioned: every service prepares what it needs and answers with an event of `provisioning`."""

    type: ClassVar[str] = "tenant.created.v1"
    tenant_id: UUID
    code: str
    name: str


class TenantRenamed(Event):
    """A tenant was renamed."""

    type: ClassVar[str] = "tenant.renamed.v1"
    tenant_id: UUID
    name: str


class TenantActivated(Event):
    """Every service is prepared, and the tenant's users may log in."""

    type: ClassVar[str] = "tenant.activated.v1"
    tenant_id: UUID


class TenantPlanChanged(Event):
    """A tenant has another plan, with these limits; None for no limit."""

    type: ClassVar[str] = "tenant.plan_changed.v1"
    tenant_id: UUID
    plan: str
    users: int | None = Field(repr=False)
    employees: int | None = Field(repr=False)
    number: int = Field(repr=False)
    """Which change of the tenant's plan it is. Whoever hears a lower number than the last ignores it."""


class TenantSuspended(Event):
    """A tenant is stopped until it is resumed: every service refuses its people."""

    type: ClassVar[str] = "tenant.suspended.v1"
    is_trouble: ClassVar[bool] = True
    tenant_id: UUID
    reason: str = Field(repr=False)
    number: int = Field(repr=False)
    """Which suspension or resumption of the tenant it is. Whoever hears a lower number than the last ignores it."""


class TenantResumed(Event):
    """A suspended tenant goes on."""

    type: ClassVar[str] = "tenant.resumed.v1"
    tenant_id: UUID
    number: int = Field(repr=False)


class TenantClosed(Event):
    """Provisioning failed or the tenant has left: every service undoes what it prepared."""

    type: ClassVar[str] = "tenant.closed.v1"
    is_trouble: ClassVar[bool] = True
    tenant_id: UUID
    reason: str
    was_active: bool = Field(default=False, repr=False)
