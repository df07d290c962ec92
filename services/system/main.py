"""The system service: the audit trail of every event of all services, common codes and settings."""

from fastapi import FastAPI

from libs.contracts import CloudEvent
from libs.contracts.tenant import TenantCreated
from libs.service_kit import app
from libs.service_kit.errors import Conflicts
from libs.service_kit.events.inbox import Handlers
from services.system.audit import consumers, routes
from services.system.codes.errors import CodeGroupTaken, CodeTaken, UnknownCodeGroup
from services.system.codes.routes import codes, groups
from services.system.database import Base
from services.system.metrics import COUNTS
from services.system.settings import Settings
from services.system.tenant_settings.errors import SettingChangedMeanwhile
from services.system.tenant_settings.routes import router as settings_router

HANDLERS: Handlers = {
    TenantCreated: consumers.on_tenant_created,
    CloudEvent: consumers.on_event,
}
CONFLICTS: Conflicts = {
    "uq_code_groups_tenant_id_code": CodeGroupTaken,
    "uq_codes_tenant_id_code_group_id_code": CodeTaken,
    "fk_codes_tenant_id_code_group_id": UnknownCodeGroup,
    "uq_tenant_settings_tenant_id_name": SettingChangedMeanwhile,
}


def create_app(settings: Settings) -> FastAPI:
    """Build the service."""
    return app.create_app(
        settings,
        description="The audit trail: what happened in all services, who did it, and in which request; common codes; settings.",
        routers=[routes.router, groups, codes, settings_router],
        handlers=HANDLERS,
        counts=COUNTS,
        conflicts=CONFLICTS,
        exports=Base.metadata,
    )


if __name__ == "__main__":
    app.serve(Settings, create_app)
