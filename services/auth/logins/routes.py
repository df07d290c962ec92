"""Logging in, staying logged in and logging out over HTTP."""

from typing import Annotated

from fastapi import Depends, Response

from libs.service_kit.errors import problems
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import Sessions, get_sessions
from services.auth.guesses.callers import Address
from services.auth.guesses.errors import TooManyGuesses
from services.auth.logins import service
from services.auth.logins.errors import InvalidCredentials, InvalidRefreshToken, TenantNotActive
from services.auth.logins.schemas import Login, RefreshTokenIn, TokensOut
from services.auth.logins.service import Tokens
from services.auth.metrics import measured_login
from services.auth.passwords import PasswordChecksBusy

router = NounRouter(prefix="/api/v1/auth", tags=["logins"])
# No caller is known yet, and no transaction may be open while a password is checked: the rules open their own.
OwnTransactions = Annotated[Sessions, Depends(get_sessions)]


@router.post("/login", responses=problems(InvalidCredentials, TenantNotActive, TooManyGuesses, PasswordChecksBusy))
async def log_in(given: Login, sessions: OwnTransactions, address: Address, response: Response) -> TokensOut:
    """Log in. The access token is valid for fifteen minutes; the refresh token gets the next one.

    After ten wrong passwords each further one makes the next login wait, up to a quarter of an hour.
    """
    with measured_login():
        return answer(await service.log_in(sessions, given, address), response)


@router.post("/refresh", responses=problems(InvalidRefreshToken, TenantNotActive))
async def refresh(given: RefreshTokenIn, sessions: OwnTransactions, response: Response) -> TokensOut:
    """Exchange a refresh token for new tokens. Using a refresh token twice ends its session."""
    return answer(await service.refresh(sessions, given.refresh_token.get_secret_value()), response)


@router.post("/logout", status_code=204)
async def log_out(given: RefreshTokenIn, sessions: OwnTransactions) -> None:
    """End the session of a refresh token. Its last access token remains valid for up to fifteen minutes."""
    await service.log_out(sessions, given.refresh_token.get_secret_value())


def answer(tokens: Tokens, response: Response) -> TokensOut:
    """The answer with new tokens, which nobody may keep on the way."""
    response.headers["cache-control"] = "no-store"
    return TokensOut(
        access_token=tokens.access.encoded, expires_in=tokens.access.expires_in, refresh_token=tokens.refresh_token
    )
