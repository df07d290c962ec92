"""The system service: the audit trail of every event of all services."""

from fastapi import FastAPI

from libs.contracts import CloudEvent
from libs.contracts.tenant import TenantCreated
from libs.service_kit import app
from libs.service_kit.events.inbox import Handlers
from services.system.audit import consumers, routes
from services.system.database import Base
from services.system.settings import Settings

HANDLERS: Handlers = {
    TenantCreated: consumers.on_tenant_created,
    CloudEvent: consumers.on_event,
}


def create_app(settings: Settings) -> FastAPI:
    """Build the service."""
    return app.create_app(
        settings,
        description="The audit trail: what happened in all services, who did it, and in which request.",
        routers=[routes.router],
        handlers=HANDLERS,
        exports=Base.metadata,
    )


if __name__ == "__main__":
    app.serve(Settings, create_app)
