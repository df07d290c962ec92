"""What must exist before anybody can log in: the platform's tenant, its administrator, the service accounts.

python -m services.auth.bootstrap      (safe to repeat; runs as the service's own role, by DATABASE__URL)
"""

import asyncio
from collections.abc import Callable

from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID, subscribers
from libs.service_kit.database import Sessions, create_engine, create_sessions, transaction
from libs.service_kit.outbox import Outbox
from libs.service_kit.settings import load
from services.auth import passwords
from services.auth.directory.models import ACTIVE, Tenant
from services.auth.keys import service as keys
from services.auth.roles import service as roles
from services.auth.service_accounts import service as service_accounts
from services.auth.settings import Settings
from services.auth.users import queries as users_queries
from services.auth.users import service as users
from services.auth.users.schemas import UserCreate

PLATFORM_CODE = "platform"
Say = Callable[[str], None]


async def bootstrap(settings: Settings, say: Say = print) -> None:
    """Create what is missing. An administrator who exists keeps their password; service accounts get the secret given.

    Ends the process with one line when a variable is missing.
    """
    given = settings.bootstrap
    missing = [f"BOOTSTRAP__{name.upper()}" for name in type(given).model_fields if getattr(given, name) is None]
    if missing or not (given.admin_email and given.admin_password and given.service_secret):
        raise SystemExit(f"auth-service cannot be bootstrapped: set {', '.join(missing)}")
    engine = create_engine(settings.database)
    try:
        sessions = create_sessions(engine, Outbox(f"{settings.name}-service", subscribers))
        async with transaction(sessions, PLATFORM_TENANT_ID) as session:
            await _prepare_platform(session, given.service_secret, say)
        await _prepare_administrator(sessions, given.admin_email, given.admin_password, say)
    finally:
        await engine.dispose()


async def _prepare_platform(session: AsyncSession, secret: SecretStr, say: Say) -> None:
    # Two runs at once would both find everything missing.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("bootstrap", 0))))
    await keys.newest_key(session)
    row = {"id": PLATFORM_TENANT_ID, "code": PLATFORM_CODE, "status": ACTIVE}
    inserted = insert(Tenant).values(row).on_conflict_do_nothing().returning(Tenant.id)
    if (await session.execute(inserted)).first():
        say(f"tenant {PLATFORM_CODE}: created")
    for role in await roles.create_builtin(session, PLATFORM_TENANT_ID, roles.PLATFORM_ROLES):
        say(f"role {role.name}: created")
    for client_id in service_accounts.CLIENT_IDS:
        if await service_accounts.set_secret(session, client_id, secret.get_secret_value()):
            say(f"service account {client_id}: given its secret")


async def _prepare_administrator(sessions: Sessions, email: str, password: SecretStr, say: Say) -> None:
    async with transaction(sessions, PLATFORM_TENANT_ID) as session:
        existing = await users_queries.find_by_email(session, PLATFORM_TENANT_ID, email)
    if existing:
        is_same = await passwords.verify(password.get_secret_value(), existing.password_hash)
        say(f"administrator {email}: exists" + ("" if is_same else ", and keeps another password than the one given"))
        return
    password_hash = await users.hash_new_password(sessions, PLATFORM_TENANT_ID, email, password.get_secret_value())
    wanted = UserCreate(email=email, name="Platform administrator", password=password)
    async with transaction(sessions, PLATFORM_TENANT_ID) as session:
        given = await roles.resolve(session, PLATFORM_TENANT_ID, [roles.PLATFORM_ADMINISTRATOR])
        await users.add(session, PLATFORM_TENANT_ID, wanted, password_hash, given)
    say(f"administrator {email}: created")


if __name__ == "__main__":
    asyncio.run(bootstrap(load(Settings)))
