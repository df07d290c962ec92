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
from libs.services import account_secret
from services.auth import passwords
from services.auth.commands import CannotRun, opened, run
from services.auth.directory.models import ACTIVE, Tenant
from services.auth.keys import service as keys
from services.auth.password_changes import service as password_changes
from services.auth.roles import service as roles
from services.auth.service_accounts import service as service_accounts
from services.auth.settings import Settings
from services.auth.users import queries as users_queries
from services.auth.users import service as users
from services.auth.users.schemas import UserCreate

PLATFORM_CODE = "platform"
Say = Callable[[str], None]


async def bootstrap(settings: Settings, say: Say = print) -> None:
    """Create what is missing. Service accounts get the given secret, and the administrator the given password, unless
    they have chosen another since.

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
        await _take_passwords_back(sessions, given.admin_email, say)


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
            own = account_secret(secret.get_secret_value(), client_id)
            if await service_accounts.set_secret(session, client_id, own):
                say(f"service account {client_id}: given its secret")


async def _prepare_administrator(sessions: Sessions, email: str, password: SecretStr, say: Say) -> None:
    async with transaction(sessions, PLATFORM_TENANT_ID) as session:
        existing = await users_queries.find_by_email(session, PLATFORM_TENANT_ID, email)
    if existing and await passwords.verify(password.get_secret_value(), existing.password_hash):
        say(f"administrator {email}: exists")
    elif existing and not existing.has_bootstrap_password:
        say(f"administrator {email}: exists, and keeps the password that somebody has chosen since")
    else:
        say(f"administrator {email}: {await _set_password(sessions, email, password)}")


async def _set_password(sessions: Sessions, email: str, password: SecretStr) -> str:
    """Create the administrator, or replace the password that was set before. Returns what was done."""
    try:
        new_hash = await users.hash_new_password(sessions, PLATFORM_TENANT_ID, email, password.get_secret_value())
    except passwords.WeakPassword as error:
        raise CannotRun(f"BOOTSTRAP__ADMIN_PASSWORD: {error.detail}") from None
    async with _alone(sessions) as session:
        user = await users_queries.find_by_email(session, PLATFORM_TENANT_ID, email)
        if user and not user.has_bootstrap_password:
            return "exists"  # a concurrent run has created them, and they have been quick
        if user:
            await password_changes.replace(session, user, new_hash, by="bootstrap")
            return "given the new password"
        wanted = UserCreate(email=email, name="Platform administrator", password=password)
        given = await roles.resolve(session, PLATFORM_TENANT_ID, [roles.PLATFORM_ADMINISTRATOR])
        user = await users.add(session, PLATFORM_TENANT_ID, wanted, new_hash, given)
        user.has_bootstrap_password = True
        return "created"


async def _take_passwords_back(sessions: Sessions, email: str, say: Say) -> None:
    """End the passwords of administrators with another e-mail that bootstrap gave before: one may be a public default."""
    async with _alone(sessions) as session:
        for user in await users_queries.with_bootstrap_password(session, PLATFORM_TENANT_ID):
            if user.email != email and user.password_hash != passwords.NOBODYS_HASH:
                await password_changes.replace(session, user, passwords.NOBODYS_HASH, by="bootstrap")
                say(f"administrator {user.email}: the password of the bootstrap before works no longer")


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
