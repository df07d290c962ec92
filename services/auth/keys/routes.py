"""The public keys over HTTP."""

from typing import Annotated, Any

from fastapi import Depends, Response

from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import Sessions, get_sessions
from services.auth.keys import service

router = NounRouter(prefix="/.well-known", tags=["keys"])


@router.get("/jwks.json")
async def list_keys(
    sessions: Annotated[Sessions, Depends(get_sessions)], response: Response
) -> dict[str, list[dict[str, Any]]]:
    """The public keys that verify access tokens, as a JSON Web Key Set (RFC 7517)."""
    response.headers["cache-control"] = "public, max-age=300"
    return await service.public_keys(sessions)
