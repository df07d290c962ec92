"""What each service says of its part of a tenant: the steps of the provisioning saga, and of the closing."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from libs.contracts.events import Event


class TenantPrepared(Event):
    """One service is ready for the tenant."""

    type: ClassVar[str] = "tenant.prepared.v1"
    tenant_id: UUID
    service: str


class TenantPreparationFailed(Event):
    """One service cannot prepare for the tenant, for a reason that a retry would not change."""

    type: ClassVar[str] = "tenant.preparation_failed.v1"
    is_trouble: ClassVar[bool] = True
    tenant_id: UUID
    service: str
    reason: str


class TenantExported(Event):
    """One service has given everything that it holds of the tenant."""

    type: ClassVar[str] = "tenant.exported.v1"
    tenant_id: UUID
    service: str
    number: int = Field(repr=False)
    """The suspension that held all the time, so that nothing has changed; 0 if there was none."""
