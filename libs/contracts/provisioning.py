"""The services' answers to `tenant.created.v1`: the steps of the provisioning saga."""

from typing import ClassVar
from uuid import UUID

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
