"""Work that runs in the background for as long as the service does."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.observability import get_logger
from libs.service_kit import availability, migrations
from libs.service_kit.errors import ServiceError
from libs.service_kit.shares import OWN_WORK, TENANT
from libs.service_kit.transactions import Sessions

log = get_logger(__name__)

RESTART_SECONDS = 1.0

Background = Callable[[Sessions], Awaitable[None]]


@asynccontextmanager
async def run_background(
    service: str, engine: AsyncEngine, sessions: Sessions, work: Mapping[str, Background]
) -> AsyncGenerator[None]:
    """Run the work during the block, once the database is migrated. Work that returns or fails is started again."""

    async def begin() -> None:
        TENANT.set(OWN_WORK)
        await _until_migrated(service, engine)
        async with asyncio.TaskGroup() as group:  # unlike `gather`, it waits for all tasks when it is cancelled
            for name, run in work.items():
                group.create_task(_keep_running(name, run, sessions), name=name)

    task = asyncio.create_task(begin())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_migrated(service: str, engine: AsyncEngine) -> None:
    failures, is_told = availability.Failures("waiting for the database", ServiceError), False
    while True:
        try:
            async with engine.connect() as connection:
                is_migrated = await migrations.is_migrated(connection, service)
            availability.database_answered()
            if is_migrated:
                return
            if not is_told:
                log.warning("waiting for the database to be migrated")
                is_told = True
        except Exception as error:
            if not availability.note(error):
                failures.tell(error)
        await asyncio.sleep(RESTART_SECONDS / 2)


async def _keep_running(name: str, run: Background, sessions: Sessions) -> None:
    failures = availability.Failures("background work failed and starts again", ServiceError)
    while True:
        try:
            await run(sessions)
        except Exception as error:
            if not availability.note(error):
                failures.tell(error, work=name)
        await asyncio.sleep(RESTART_SECONDS)
