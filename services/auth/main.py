"""The auth service: who a caller is, and what they may do."""

from fastapi import FastAPI

from libs.contracts.tenant import TenantActivated, TenantClosed, TenantCreated, TenantPlanChanged
from libs.service_kit import app, plans
from libs.service_kit.errors import Conflicts
from libs.service_kit.events.inbox import Handlers
from services.auth.cleaning import clean
from services.auth.database import Base
from services.auth.keys.routes import keys_router
from services.auth.keys.service import public_keys
from services.auth.logins.routes import router as logins
from services.auth.metrics import COUNTS
from services.auth.password_changes.routes import router as password_changes
from services.auth.roles.errors import RoleNameTaken
from services.auth.roles.power import held
from services.auth.roles.routes import router as roles
from services.auth.service_accounts.routes import router as service_accounts
from services.auth.settings import Settings
from services.auth.tenants import consumers
from services.auth.tenants.routes import router as tenants
from services.auth.users.errors import EmailTaken
from services.auth.users.routes import router as users

HANDLERS: Handlers = {
    TenantCreated: consumers.on_tenant_created,
    TenantActivated: consumers.on_tenant_activated,
    TenantClosed: consumers.on_tenant_closed,
    TenantPlanChanged: plans.on_plan_changed,
}
CONFLICTS: Conflicts = {"uq_roles_tenant_id_name": RoleNameTaken, "uq_users_tenant_id_email": EmailTaken}


def create_app(settings: Settings) -> FastAPI:
    """Build the service."""
    return app.create_app(
        settings,
        description="Logins, users and roles of every tenant, the keys that verify tokens, and service accounts.",
        routers=[logins, password_changes, users, roles, tenants, service_accounts, keys_router()],
        handlers=HANDLERS,
        counts=COUNTS,
        exports=Base.metadata,
        conflicts=CONFLICTS,
        fetch_keys=public_keys,
        held=held,
        background={"clean auth": clean},
    )


if __name__ == "__main__":
    app.serve(Settings, create_app)
