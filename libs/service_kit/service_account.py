"""A service's own account, for the calls that no user started."""

import time
from typing import Any

from libs.service_kit.client import ServiceClient


class ServiceAccount:
    """The token of this service's own account, for calls that no user started; renewed before it expires."""

    def __init__(self, auth: ServiceClient, client_id: str, client_secret: str) -> None:
        self._auth = auth
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._token = ""
        self._renew_at = float("-inf")

    async def token(self) -> str:
        """A token that is valid for at least half its life. Raises as `ServiceClient.post` does."""
        if time.monotonic() >= self._renew_at:
            self._token, life = await self._auth.post("/api/v1/auth/token", _token_and_life, json=self._credentials)
            self._renew_at = time.monotonic() + life / 2
        return self._token

    def forget(self) -> None:
        """Drop a token that was refused, so that the next call asks for a new one."""
        self._renew_at = float("-inf")


def _token_and_life(answer: Any) -> tuple[str, float]:
    return str(answer["access_token"]), float(answer["expires_in"])
