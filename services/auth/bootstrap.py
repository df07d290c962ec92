"""Creates what must exist before anybody can log in: the platform tenant, its administrator, the service accounts.

python -m services.auth.bootstrap      (safe to repeat; connects as the service's own role, with DATABASE__URL)
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts import PLATFORM_TENANT_ID
from libs.service_kit.settings import load
from libs.service_kit.transactions import Sessions, lock, transaction
from services.auth import passwords
from services.auth.commands import CannotRun, opened, run
from services.auth.directory.models import ACTIVE, Tenant
from services.auth.keys import service as keys
from services.auth.roles import service as roles
from services.auth.service_accounts import service as service_accounts
from services.auth.settings import Settings
from services.auth.users import queries as users_queries
from services.auth.users import service as users
from services.auth.users.models import User
from services.auth.users.schemas import UserCreate

PLATFORM_CODE = "platform"
Say = Callable[[str], None]


async def bootstrap(settings: Settings, say: Say = print) -> None:
    """Create what is missing. An existing administrator keeps their password; service accounts get the given secret.

    Raises `CannotRun`, whose message names the variable, when one is missing, the password is weak or the
    database does not answer.
    """
    given = settings.bootstrap
    if not (given.admin_email and given.admin_password and given.service_secret):
        missing = [name for name in type(given).model_fields if getattr(given, name) is None]
        raise CannotRun(", ".join(f"BOOTSTRAP__{name.upper()}" for name in missing) + ": not set")
    async with opened(settings.database) as sessions:
        await _prepare_platform(sessions, given.service_secret, say)
        await _prepare_administrator(sessions, given.admin_email, given.admin_password, say)


async def _prepare_platform(sessions: Sessions, secret: SecretStr, say: Say) -> None:
    async with _alone(sessions) as session:
        await keys.signing_key(session)
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
    existing = existing or await _create_administrator(sessions, email, password)
    if existing is None:
        say(f"administrator {email}: created")
    elif await passwords.verify(password.get_secret_value(), existing.password_hash):
        say(f"administrator {email}: exists")
    else:
        say(f"administrator {email}: exists, and keeps another password than the one given")


async def _create_administrator(sessions: Sessions, email: str, password: SecretStr) -> User | None:
    """Create the administrator and return None, or return the one that a concurrent run has just created."""
    try:
        password_hash = await users.hash_new_password(sessions, PLATFORM_TENANT_ID, email, password.get_secret_value())
    except passwords.WeakPassword as error:
        raise CannotRun(f"BOOTSTRAP__ADMIN_PASSWORD: {error.detail}") from None
    wanted = UserCreate(email=email, name="Platform administrator", password=password)
    async with _alone(sessions) as session:
        if existing := await users_queries.find_by_email(session, PLATFORM_TENANT_ID, email):
            return existing
        given = await roles.resolve(session, PLATFORM_TENANT_ID, [roles.PLATFORM_ADMINISTRATOR])
        await users.add(session, PLATFORM_TENANT_ID, wanted, password_hash, given)
    return None


@asynccontextmanager
async def _alone(sessions: Sessions) -> AsyncGenerator[AsyncSession]:
    """A transaction of the platform tenant, in which only one run of the bootstrap is at a time."""
    async with transaction(sessions, PLATFORM_TENANT_ID) as session:
        await lock(session, "bootstrap")
        yield session


async def _main() -> None:
    await bootstrap(load(Settings))


if __name__ == "__main__":
    run("auth-service cannot be bootstrapped", _main)
