"""What the service's commands share: the database, and one line in place of a traceback."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from libs.contracts import subscribers
from libs.service_kit import availability
from libs.service_kit.database import create_engine
from libs.service_kit.events.outbox import Outbox
from libs.service_kit.settings import DatabaseSettings
from libs.service_kit.transactions import Sessions, create_sessions


class CannotRun(Exception):
    """A variable is missing or cannot be used, or the database does not answer."""


@asynccontextmanager
async def opened(database: DatabaseSettings) -> AsyncGenerator[Sessions]:
    """The sessions of a command. Raises `CannotRun` when the database does not answer."""
    engine = create_engine(database)
    try:
        yield create_sessions(engine, Outbox("auth-service", subscribers))
    except Exception as error:
        if not availability.note(error):
            raise
        message = availability.brief(error)["message"]
        raise CannotRun(f"DATABASE__URL: the database cannot be used: {message}") from error
    finally:
        await engine.dispose()


def run(failure: str, command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a command; what a person can mend is one line, which begins with `failure`, and status 2."""
    try:
        asyncio.run(command())
    except CannotRun as error:
        print(f"{failure}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
