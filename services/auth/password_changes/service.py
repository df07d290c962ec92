"""The rules of password changes. Whatever replaces a password ends all sessions of its owner."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.auth import UserPasswordChanged, UserPasswordReset
from libs.observability import bind
from libs.service_kit import standing
from libs.service_kit.auth import MOST_MAKERS, Principal
from libs.service_kit.errors import Forbidden
from libs.service_kit.events.outbox import publish
from libs.service_kit.transactions import Sessions, transaction
from services.auth import passwords
from services.auth.directory import queries as directory
from services.auth.guesses.service import Limit, at_user, forget, guess
from services.auth.logins import service as logins
from services.auth.logins.errors import TenantNotActive
from services.auth.logins.service import Tokens
from services.auth.password_changes import queries
from services.auth.password_changes.errors import InvalidResetToken, OwnPassword, WrongPassword
from services.auth.password_changes.schemas import PasswordChange, ResetOut, ResetUse
from services.auth.roles.power import acting, refuse_outranked
from services.auth.sessions import service as user_sessions
from services.auth.tokens import new_token, tenant_of
from services.auth.users import queries as users_queries
from services.auth.users import service as users
from services.auth.users.models import User

VALID = timedelta(hours=24)
"""How long a one-time token is valid."""


async def change(sessions: Sessions, actor: Principal, given: PasswordChange, address: str) -> Tokens:
    """Replace the actor's own password, end all their sessions, and begin a new one.

    Raises `WrongPassword`, `TooManyGuesses`, `WeakPassword`, `PasswordChecksBusy`.
    """
    async with transaction(sessions, actor.tenant_id) as session:
        user = await users_queries.lock_active(session, actor.tenant_id, actor.id)
        if user is None:
            raise Forbidden("Only a user who is not switched off has a password.")
        at = await _guesses_at(session, user)
    async with guess(sessions, address, at):
        if not await passwords.verify(given.current_password.get_secret_value(), user.password_hash):
            raise WrongPassword()
    new_hash = await users.hash_new_password(
        sessions, actor.tenant_id, user.email, given.new_password.get_secret_value()
    )
    async with transaction(sessions, actor.tenant_id, actor.id) as session:
        current = await users_queries.lock_active(session, actor.tenant_id, actor.id)
        if current is None or current.password_hash != user.password_hash:  # changed while they were checked
            raise WrongPassword()
        await replace(session, current, new_hash, by="owner")
        return await logins.begin_session(session, current)


async def issue_reset(session: AsyncSession, actor: Principal, user_id: UUID) -> ResetOut:
    """End the user's password and sessions at once, and return a token for the next password.

    Raises `OwnPassword`, `Outranked`, `UserNotFound`.
    """
    power = await acting(session, actor, "users:write")
    user = await users.get(session, actor, user_id)
    if user.id == actor.id:  # a stolen access token would be enough to take the account over
        raise OwnPassword()
    refuse_outranked(power, user.permissions)
    token, expires_at = new_token(user.tenant_id), datetime.now(UTC) + VALID
    # Who gets the token can set the password.
    makers = [each for each in await users.line_of(session, actor) if each != user.id][:MOST_MAKERS]
    user.password_hash, user.has_bootstrap_password, user.makers = passwords.NOBODYS_HASH, False, makers
    await session.flush()
    await queries.store(session, user, token, expires_at)
    publish(session, UserPasswordReset(user_id=user.id))
    await user_sessions.revoke(session, user.tenant_id, user.id)
    return ResetOut(user_id=user.id, token=token, expires_at=expires_at)


async def use_reset(sessions: Sessions, given: ResetUse, address: str) -> None:
    """Set the password of the user whom the token is for.

    Raises `InvalidResetToken`, `TenantNotActive`, and as `change` does.
    """
    token = given.token.get_secret_value()
    tenant_id = tenant_of(token)
    async with guess(sessions, address), transaction(sessions, tenant_id) as session:
        user = await queries.owner(session, tenant_id, token) if tenant_id else None
        if user is None:
            raise InvalidResetToken()
        if await standing.is_stopped(session, user.tenant_id):  # the token is not used up, and works again afterwards
            raise TenantNotActive()
    new_hash = await users.hash_new_password(
        sessions, user.tenant_id, user.email, given.new_password.get_secret_value()
    )
    async with transaction(sessions, user.tenant_id, user.id) as session:
        current = await users_queries.lock_active(session, user.tenant_id, user.id)
        if current is None or not await queries.take(session, current, token):  # another request was faster
            raise InvalidResetToken()
        bind(tenant_id=str(user.tenant_id), user_id=str(user.id))
        await replace(session, current, new_hash, by="reset")


async def replace(session: AsyncSession, user: User, new_hash: str, by: str) -> None:
    """Give a locked user another password, with which they can log in at once. The session is bound to the tenant."""
    user.password_hash, user.has_bootstrap_password = new_hash, by == "bootstrap"
    user.has_own_password = not user.has_bootstrap_password
    await session.flush()
    await queries.remove(session, user)
    await forget(session, await _guesses_at(session, user))
    publish(session, UserPasswordChanged(user_id=user.id, by=by))
    await user_sessions.revoke(session, user.tenant_id, user.id)


async def _guesses_at(session: AsyncSession, user: User) -> Limit:
    tenant = await directory.find(session, user.tenant_id)
    return at_user(tenant.code if tenant and tenant.code else "", user.email)
