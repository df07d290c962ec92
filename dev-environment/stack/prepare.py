"""Bring the five databases up to date and give auth its first administrator: `python -m stack.prepare`.

One process does all of it, since the imports take longer than the work. Safe to repeat. It reads the environment:
`SUPERUSER_URL`, `MIGRATE_URL_TEMPLATE`, `POSTGRES_PASSWORD` for the roles, and what auth's bootstrap needs. In both URLs
`{password}` stands for `POSTGRES_PASSWORD`.
"""

import asyncio
import os
import sys
import time
from urllib.parse import quote

import asyncpg

from libs.service_kit import migrations
from libs.service_kit.settings import load
from services.auth import bootstrap, commands
from services.auth.settings import Settings as AuthSettings
from stack import databases
from stack.services import SERVICES


async def prepare() -> None:
    """Create databases and roles, migrate, and bootstrap auth."""
    names = [service.short for service in SERVICES]
    password = os.environ["POSTGRES_PASSWORD"]
    superuser, migrate = (
        with_password(os.environ[name], password) for name in ("SUPERUSER_URL", "MIGRATE_URL_TEMPLATE")
    )
    await until_it_answers(superuser)
    await databases.create(superuser, names, password=password)
    await migrations.upgrade_all(names, migrate)
    await bootstrap.bootstrap(load(AuthSettings))


def with_password(url: str, password: str) -> str:
    """The URL with the password in place of `{password}`, quoted as compose cannot do it."""
    return url.replace("{password}", quote(password, safe=""))


async def until_it_answers(url: str, seconds: float = 20.0) -> None:
    """Wait for a server that is starting; the connection's error if it does not answer within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await (await asyncpg.connect(url)).close()
            return
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    try:
        asyncio.run(prepare())
    except commands.CannotRun as error:
        sys.exit(f"auth cannot be set up: {error}")
    except asyncpg.InvalidPasswordError:
        sys.exit("PostgreSQL refuses POSTGRES_PASSWORD: the data was created with another one. Set that one, or "
                 "remove the data with `make clean`.")  # fmt: skip
