"""Whether the platform's administrator has the password that the settings name: they may have chosen another since."""

import asyncio
import contextlib

import asyncpg
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from stack import environment
from stack.settings import Settings

HASH = """select password_hash from users join tenants on tenants.id = users.tenant_id
where tenants.code = 'platform' and users.email = lower($1)"""


def has_password_of(settings: Settings) -> bool:
    """Whether it is the one of the settings; also True where nobody can tell."""
    stored = None
    with contextlib.suppress(OSError, asyncpg.PostgresError):
        stored = asyncio.run(_hash(settings))
    try:
        return stored is None or PasswordHasher().verify(stored, settings.values["BOOTSTRAP__ADMIN_PASSWORD"])
    except VerificationError:
        return False


async def _hash(settings: Settings) -> str | None:
    connection = await asyncpg.connect(environment.superuser_url(settings, "auth"))
    try:
        return await connection.fetchval(HASH, settings.values["BOOTSTRAP__ADMIN_EMAIL"])
    finally:
        await connection.close()
