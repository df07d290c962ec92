"""Whoever changes or exports a tenant may do so at that moment: auth is asked, since a token only says who could before.

Everything else goes by the token, for up to fifteen minutes; but a closed tenant stays closed, and an export is out.
"""

from collections.abc import Collection
from typing import Any

from fastapi import Request

from libs.service_kit.answers import Refused
from libs.service_kit.auth import Principal
from libs.service_kit.client import ServiceClient, unanswered
from libs.service_kit.errors import Forbidden

PATH = "/api/v1/users/me/permissions"


def require(held: Collection[str], needed: str) -> None:
    """Raise `Forbidden` unless the permission is among those that are held."""
    if needed not in held:
        raise Forbidden("The caller is switched off, or may no longer do this.", missing=[needed])


async def confirm(request: Request, caller: Principal, needed: str) -> None:
    """Raise `Forbidden` unless the caller may do this by their row, and `Unavailable` if auth does not answer.

    No transaction may be open meanwhile.
    """
    require(await request.state.held(caller), needed)


async def ask(auth: ServiceClient, caller: Principal) -> list[str]:
    """What the caller may do now, by auth's word. Raises `Unavailable`."""
    try:
        return await auth.get(PATH, _read, token=caller.token)
    except Refused as refused:
        raise unanswered("auth", PATH, refused) from refused


def _read(document: Any) -> list[str]:
    return list(document["permissions"])
