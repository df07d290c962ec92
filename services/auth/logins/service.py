"""Logging in by a password, staying logged in by refresh tokens, logging out."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.auth import UserLoggedIn, UserLoggedOut, UserSessionsRevoked
from libs.observability import bind, get_logger
from libs.service_kit import standing
from libs.service_kit.events.outbox import publish
from libs.service_kit.transactions import Sessions, after_commit, bind_tenant, transaction
from services.auth import passwords
from services.auth.directory import queries as directory
from services.auth.directory.models import ACTIVE, Tenant
from services.auth.guesses.service import at_user, guess
from services.auth.keys import service as keys
from services.auth.keys.service import AccessToken
from services.auth.logins.errors import InvalidCredentials, InvalidRefreshToken, TenantNotActive
from services.auth.logins.schemas import Login
from services.auth.sessions import service as user_sessions
from services.auth.tokens import tenant_of
from services.auth.users import queries as users
from services.auth.users.models import User

log = get_logger(__name__)

NO_TENANT = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The result of a login or a refresh."""

    access: AccessToken
    refresh_token: str


async def log_in(sessions: Sessions, given: Login, address: str) -> Tokens:
    """Begin a session. Raises `InvalidCredentials`, `TooManyGuesses`, `TenantNotActive`, `PasswordChecksBusy`.

    Whatever is wrong, the work and the answer are the same, so that nobody can find out which tenants and users exist.
    """
    async with guess(sessions, address, at_user(given.tenant, given.email)):
        return await _check(sessions, given)


async def _check(sessions: Sessions, given: Login) -> Tokens:
    tenant, user = await _find(sessions, given)
    password, known_hash = (given.password.get_secret_value(), user.password_hash if user else None)
    is_right = await passwords.verify(password, known_hash)
    if tenant is None or user is None or not is_right or not user.is_active:
        reason = "wrong_password" if user and user.is_active else "inactive_user" if user else "unknown_user"
        raise _refuse(given, reason if tenant else "unknown_tenant", user)
    if tenant.status != ACTIVE:
        _log_refusal(given, f"tenant_{tenant.status}", user)
        raise TenantNotActive()
    new_hash = await passwords.hash_password(password) if passwords.needs_rehash(user.password_hash) else None
    async with transaction(sessions, tenant.id, user.id) as session:
        if await standing.is_stopped(session, tenant.id):
            _log_refusal(given, "tenant_stopped", user)
            raise TenantNotActive()
        # The user may have been deactivated or changed while the password was checked.
        current = await users.lock_active(session, tenant.id, user.id)
        if current is None or current.password_hash != known_hash:
            raise _refuse(given, "changed_meanwhile", user)
        if new_hash:
            current.password_hash = new_hash
        bind(tenant_id=str(tenant.id), user_id=str(user.id))
        publish(session, UserLoggedIn(user_id=user.id))
        return await begin_session(session, current)


async def begin_session(session: AsyncSession, user: User) -> Tokens:
    """Begin a session of somebody who has proved to be this user."""
    token = await user_sessions.start(session, user.tenant_id, user.id)
    return Tokens(await _sign(session, user), token)


async def refresh(sessions: Sessions, token: str) -> Tokens:
    """Exchange a refresh token for new tokens, with the user's current permissions.

    Raises `InvalidRefreshToken`, and `TenantNotActive` for as long as the tenant is stopped.
    """
    tokens = None
    if tenant_id := tenant_of(token):
        async with transaction(sessions, tenant_id) as session:
            if await standing.is_stopped(session, tenant_id):  # the token is not used up, and works again afterwards
                log.info("refresh refused", reason="tenant_stopped")
                raise TenantNotActive()
            tokens = await _rotate(session, tenant_id, token)
    if tokens is None:  # raised after the transaction, which may have ended the session and must be committed
        raise InvalidRefreshToken()
    return tokens


async def log_out(sessions: Sessions, token: str) -> None:
    """End the session of the refresh token, if it has not ended already."""
    if tenant_id := tenant_of(token):
        async with transaction(sessions, tenant_id) as session:
            if user_id := await user_sessions.end(session, tenant_id, token):
                await bind_tenant(session, tenant_id, user_id)
                bind(tenant_id=str(tenant_id), user_id=str(user_id))
                publish(session, UserLoggedOut(user_id=user_id))


async def _find(sessions: Sessions, given: Login) -> tuple[Tenant | None, User | None]:
    async with transaction(sessions) as session:
        tenant = await directory.find_by_code(session, given.tenant)
        tenant_id = tenant.id if tenant else NO_TENANT
        await bind_tenant(session, tenant_id)
        return tenant, await users.find_by_email(session, tenant_id, given.email)


async def _rotate(session: AsyncSession, tenant_id: UUID, token: str) -> Tokens | None:
    # The user before the session, as whoever ends a user's sessions does: the other order would deadlock with them.
    owner = await user_sessions.owner_of(session, tenant_id, token)
    user = await users.lock_active(session, tenant_id, owner) if owner else None
    rotation = await user_sessions.rotate(session, tenant_id, token)
    if rotation is None:
        log.info("refresh refused", reason="unknown_token")
        return None
    await bind_tenant(session, tenant_id, rotation.user_id)
    bind(tenant_id=str(tenant_id), user_id=str(rotation.user_id))
    if rotation.token is None:
        publish(session, UserSessionsRevoked(user_id=rotation.user_id, reason="refresh token reused"))
        return None
    tenant = await directory.find(session, tenant_id)
    if user is None or tenant is None or tenant.status != ACTIVE:
        log.info("refresh refused", reason="inactive_user" if user is None else "tenant_not_active")
        return None
    after_commit(session, partial(log.info, "session refreshed", session_id=str(rotation.session_id)))
    return Tokens(await _sign(session, user), rotation.token)


async def _sign(session: AsyncSession, user: User) -> AccessToken:
    return await keys.sign(
        session,
        subject=user.id,
        tenant_id=user.tenant_id,
        permissions=user.permissions,
        makers=user.makers,
        own_password=user.has_own_password,
    )


def _refuse(given: Login, reason: str, user: User | None) -> InvalidCredentials:
    _log_refusal(given, reason, user)
    return InvalidCredentials()


def _log_refusal(given: Login, reason: str, user: User | None) -> None:
    # The ids are not bound to further log lines: the caller has not proved to be that user.
    whose = {"user_id": str(user.id), "tenant_id": str(user.tenant_id)} if user else {}
    log.info("login refused", reason=reason, tenant_code=given.tenant, **whose)
