"""The rules of users: creating them, changing their roles, deactivating them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.auth import UserCreated, UserSessionsRevoked, UserUpdated
from libs.service_kit import plans
from libs.service_kit.auth import MOST_MAKERS, Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from libs.service_kit.transactions import Sessions, transaction
from services.auth import passwords
from services.auth.directory import queries as directory
from services.auth.roles import service as roles
from services.auth.roles.models import Role
from services.auth.roles.power import acting, refuse_grant, refuse_outranked
from services.auth.sessions import service as user_sessions
from services.auth.users import queries
from services.auth.users.errors import LastAdministrator, UserNotFound
from services.auth.users.models import User
from services.auth.users.schemas import UserCreate, UserUpdate


async def hash_new_password(sessions: Sessions, tenant_id: UUID, email: str, password: str) -> str:
    """The hash of a new password, made before the transaction that stores it. Raises `WeakPassword`, `PasswordChecksBusy`."""
    async with transaction(sessions) as session:
        tenant = await directory.find(session, tenant_id)
    code = tenant.code if tenant else None
    passwords.refuse_weak(password, [email.partition("@")[0], *([code] if code else [])])
    return await passwords.hash_password(password)


async def create(session: AsyncSession, actor: Principal, wanted: UserCreate, password_hash: str) -> User:
    """Create a user. Raises `CannotGrant` unless the actor has all permissions of the user's roles."""
    power = await acting(session, actor, "users:write")
    given = await roles.resolve(session, actor.tenant_id, wanted.roles)
    refuse_grant(power, _permissions(given))
    makers = await line_of(session, actor)
    return await add(session, actor.tenant_id, wanted, password_hash, given, makers)


async def line_of(session: AsyncSession, actor: Principal) -> list[UUID]:
    """The actor and the makers of the actor, the nearest first. The session must be bound to the actor's tenant."""
    return [actor.id, *(await get(session, actor, actor.id)).makers]


async def add(
    session: AsyncSession,
    tenant_id: UUID,
    wanted: UserCreate,
    password_hash: str,
    given: list[Role],
    makers: Sequence[UUID] = (),
) -> User:
    """Add a user without checking the actor's permissions. The session must be bound to the tenant."""
    await plans.make_room(session, tenant_id, "users", queries.count_active(tenant_id))
    user = User(
        tenant_id=tenant_id,
        email=wanted.email,
        name=wanted.name,
        password_hash=password_hash,
        makers=list(makers[:MOST_MAKERS]),
        roles=given,
    )
    session.add(user)
    await session.flush()
    publish(session, UserCreated(user_id=user.id, email=user.email, roles=user.role_names))
    return user


async def get(session: AsyncSession, actor: Principal, user_id: UUID) -> User:
    """The user. Raises `UserNotFound`."""
    return found(await queries.find(session, actor.tenant_id, user_id), UserNotFound, user_id)


async def update(
    session: AsyncSession, actor: Principal, user_id: UUID, expected: Expected, wanted: UserUpdate
) -> User:
    """Change the given fields. Deactivating a user ends all their sessions.

    Raises `Outranked`, `CannotGrant`, `LastAdministrator`, `UnknownRole`.
    """
    power = await acting(session, actor, "users:write")
    user = await get(session, actor, user_id)
    expected.check(user)
    given = user.roles if wanted.roles is None else await roles.resolve(session, actor.tenant_id, wanted.roles)
    refuse_outranked(power, user.permissions)
    refuse_grant(power, _permissions(given))
    was_active, was_administrator = user.is_active, _is_administrator(user)
    if wanted.is_active and not was_active:
        await plans.make_room(session, actor.tenant_id, "users", queries.count_active(actor.tenant_id))
    if wanted.name is not None:
        user.name = wanted.name
    if wanted.is_active is not None:
        user.is_active = wanted.is_active
    if wanted.roles is not None:
        user.roles = given
        user.updated_at = (
            func.now()
        )  # roles are rows of another table, and changing them must raise the version of the user
    stays = user.is_active and _is_administrator(user)
    if was_active and was_administrator and not stays and not await queries.has_other_administrator(session, user):
        raise LastAdministrator()
    await session.flush()
    publish(session, UserUpdated(user_id=user.id, roles=user.role_names, is_active=user.is_active))
    if was_active and not user.is_active:
        await _log_out_everywhere(session, user)
    return user


async def _log_out_everywhere(session: AsyncSession, user: User) -> None:
    if await user_sessions.revoke(session, user.tenant_id, user.id):
        publish(session, UserSessionsRevoked(user_id=user.id, reason="switched off"))


def _permissions(given: Sequence[Role]) -> set[str]:
    return {permission for role in given for permission in role.permissions}


def _is_administrator(user: User) -> bool:
    return any(role.is_builtin and role.name in roles.ADMINISTRATORS for role in user.roles)
