"""The tenant service: the tenants of the platform, and the saga that provisions them."""

from datetime import timedelta

from fastapi import FastAPI

from libs.contracts.provisioning import TenantExported, TenantPreparationFailed, TenantPrepared
from libs.service_kit import app
from libs.service_kit.errors import Conflicts
from libs.service_kit.events.inbox import Handlers
from services.tenant.metrics import COUNTS
from services.tenant.settings import Settings
from services.tenant.tenants import consumers, routes, timeout
from services.tenant.tenants.errors import TenantCodeTaken

HANDLERS: Handlers = {
    TenantPrepared: consumers.on_tenant_prepared,
    TenantPreparationFailed: consumers.on_tenant_preparation_failed,
    TenantExported: consumers.on_tenant_exported,
}
CONFLICTS: Conflicts = {"uq_tenants_tenant_id_code": TenantCodeTaken}


def create_app(settings: Settings) -> FastAPI:
    """Build the service."""
    patience = timedelta(seconds=settings.provisioning_timeout_seconds)
    return app.create_app(
        settings,
        description="Tenants and their life: from provisioning by every service to active, or closed.",
        routers=[routes.router],
        handlers=HANDLERS,
        counts=COUNTS,
        conflicts=CONFLICTS,
        background={"provisioning timeout": lambda sessions: timeout.watch(sessions, patience)},
    )


if __name__ == "__main__":
    app.serve(Settings, create_app)
