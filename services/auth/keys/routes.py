"""The public keys over HTTP."""

from typing import Annotated, Any

import orjson
from fastapi import Depends, Response

from libs.observability.sharing import Shared
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import Sessions, get_sessions
from services.auth.keys import service


def keys_router() -> NounRouter:
    """The route of one app, whose callers share what is read."""
    router = NounRouter(prefix="/.well-known", tags=["keys"])
    shared = Shared(_encoded_keys)

    @router.get("/jwks.json", response_model=dict[str, list[dict[str, Any]]])
    async def list_keys(sessions: Annotated[Sessions, Depends(get_sessions)]) -> Response:
        """The public keys that verify access tokens, as a JSON Web Key Set (RFC 7517)."""
        headers = {"cache-control": "public, max-age=300"}
        return Response(await shared(sessions), headers=headers, media_type="application/json")

    return router


async def _encoded_keys(sessions: Sessions) -> bytes:
    return orjson.dumps(await service.public_keys(sessions))
