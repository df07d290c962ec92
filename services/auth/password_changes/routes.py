"""Password changes over HTTP."""

from typing import Annotated

from fastapi import Depends, Response

from libs.service_kit.auth import Caller, Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession, Sessions, get_sessions
from services.auth.guesses.callers import Address
from services.auth.guesses.errors import TooManyGuesses
from services.auth.logins.errors import TenantNotActive
from services.auth.logins.routes import answer
from services.auth.logins.schemas import TokensOut
from services.auth.password_changes import service
from services.auth.password_changes.errors import InvalidResetToken, OwnPassword, WrongPassword
from services.auth.password_changes.schemas import PasswordChange, ResetCreate, ResetOut, ResetUse
from services.auth.passwords import PasswordChecksBusy, WeakPassword
from services.auth.roles.errors import Outranked
from services.auth.users.errors import UserNotFound

router = NounRouter(prefix="/api/v1/passwords", tags=["passwords"])
# No transaction may be open while a password is checked and hashed: the rules open their own.
OwnTransactions = Annotated[Sessions, Depends(get_sessions)]
Writer = Annotated[Principal, Depends(requires("users:write"))]
CHECKS = (TooManyGuesses, WeakPassword, PasswordChecksBusy)


@router.post("", responses=problems(WrongPassword, *CHECKS))
async def change_password(
    given: PasswordChange, actor: Caller, sessions: OwnTransactions, address: Address, response: Response
) -> TokensOut:
    """Change one's own password. All sessions end; the answer begins a new one."""
    return answer(await service.change(sessions, actor, given, address), response)


@router.post("/resets", status_code=201, responses=problems(UserNotFound, Outranked, OwnPassword))
async def create_reset(wanted: ResetCreate, actor: Writer, session: DatabaseSession, response: Response) -> ResetOut:
    """End a user's password and sessions, and get the token with which they set another within a day.

    It takes no idempotency key, since no answer with a token is stored: a further request replaces the token.
    """
    response.headers["cache-control"] = "no-store"
    return await service.issue_reset(session, actor, wanted.user_id)


@router.post("/resets/use", status_code=204, responses=problems(InvalidResetToken, TenantNotActive, *CHECKS))
async def use_reset(given: ResetUse, sessions: OwnTransactions, address: Address) -> None:
    """Set one's password with a one-time token. Log in with it afterwards."""
    await service.use_reset(sessions, given, address)
