"""Tokens for services over HTTP."""

from typing import Annotated

from fastapi import Depends, Response

from libs.service_kit.errors import problems
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import Sessions, get_sessions
from services.auth.guesses.callers import Address
from services.auth.guesses.errors import TooManyGuesses
from services.auth.service_accounts import service
from services.auth.service_accounts.errors import InvalidClient
from services.auth.service_accounts.schemas import ClientCredentials, ServiceTokenOut

router = NounRouter(prefix="/api/v1/auth/token", tags=["service accounts"])


@router.post("", responses=problems(InvalidClient, TooManyGuesses))
async def create_service_token(
    given: ClientCredentials,
    sessions: Annotated[Sessions, Depends(get_sessions)],
    address: Address,
    response: Response,
) -> ServiceTokenOut:
    """Exchange a service account's id and secret for an access token."""
    token = await service.prove(sessions, given.client_id, given.client_secret.get_secret_value(), address)
    response.headers["cache-control"] = "no-store"
    return ServiceTokenOut(access_token=token.encoded, expires_in=token.expires_in)
