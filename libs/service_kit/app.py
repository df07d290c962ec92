"""The composition of every service: middleware, routers, errors, health and the resources of its lifetime, on one screen."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.observability import get_logger, instrument
from libs.observability.http import QUIET
from libs.service_kit import events, migrations, relay
from libs.service_kit.auth import KeySet
from libs.service_kit.client import ServiceClient
from libs.service_kit.database import Sessions, create_engine, create_sessions
from libs.service_kit.errors import PROBLEM_CONTENT, PROBLEM_SCHEMA, Conflicts, add_error_handlers
from libs.service_kit.events import Work
from libs.service_kit.health import health_router
from libs.service_kit.idempotency import Replay
from libs.service_kit.inbox import EVENTS_PATH, Handlers, events_router
from libs.service_kit.limits import RequestLimits
from libs.service_kit.outbox import Outbox
from libs.service_kit.settings import Loaded, ServiceSettings, load

log = get_logger(__name__)

RESTART_SECONDS = 1.0
# Fewer and later collections than by default (700, 10, 10): the objects of a request go without any, by their counts.
GC_THRESHOLDS = (10_000, 20, 50)


def create_app(
    settings: ServiceSettings,
    *,
    description: str,
    routers: Sequence[APIRouter],
    handlers: Handlers | None = None,
    conflicts: Conflicts | None = None,
    calls: Sequence[str] = (),
    background: Mapping[str, Work] | None = None,
    fetch_keys: Callable[[Sessions], Awaitable[Mapping[str, Any]]] | None = None,
) -> FastAPI:
    """Build a service.

    `handlers`: what its events do. `conflicts`: what its constraints mean. `calls`: the services it calls, found by name
    in `request.state.clients`. `background`: its own work beside the requests. `fetch_keys`: where the public keys of
    tokens come from, if not from the auth service.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            engine = create_engine(settings.database)
            stack.push_async_callback(engine.dispose)
            outbox = Outbox(f"{settings.name}-service", events.destinations(settings.events))
            sessions = create_sessions(engine, outbox)
            clients = {
                name: await stack.enter_async_context(ServiceClient(name, settings.services.of(name)))
                for name in {"auth", *calls}
            }
            keys = KeySet(partial(fetch_keys, sessions) if fetch_keys else partial(_fetch_keys, clients["auth"]))
            work: dict[str, Work] = {**(background or {}), "clean": partial(relay.clean, settings.name)}
            link = events.Link()
            work |= await events.work(stack, settings, outbox, clients["auth"], handlers or {}, link)
            await stack.enter_async_context(_beside(settings.name, engine, sessions, work))
            yield {"engine": engine, "sessions": sessions, "clients": clients, "keys": keys, "link": link}

    # FastAPI's own /docs loads its scripts from another host, and stays empty without a network.
    app = FastAPIOffline(
        title=f"{settings.name}-service",
        description=description,
        version=settings.telemetry.service_version,
        lifespan=lifespan,
        responses={"default": {"description": "A problem", "content": PROBLEM_CONTENT}},
        # Its own spans, metrics and logs cost twice what the one middleware of the shared layer does.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(RequestLimits)
    for router in (*routers, events_router(handlers or {}), health_router(settings.name)):
        app.include_router(router)
    add_error_handlers(app, conflicts or {})
    app.add_exception_handler(Replay, _replay)
    _describe_problems(app)
    # A batch of events belongs to many traces: each event leaves its own span and line.
    instrument(app, settings.telemetry, quiet=(*QUIET, EVENTS_PATH))
    return app


def serve(settings: type[Loaded], create: Callable[[Loaded], FastAPI]) -> None:
    """Run a service until it is told to stop: the whole of `python -m services.<name>.main`."""
    loaded = load(settings)
    run(create(loaded), host=loaded.host, port=loaded.port)


def run(app: FastAPI, *, host: str, port: int) -> None:
    """Run an app until it is told to stop."""
    # What has been imported and built stays until the end: the collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )


async def _fetch_keys(auth: ServiceClient) -> Mapping[str, Any]:
    return await auth.get("/.well-known/jwks.json")


@asynccontextmanager
async def _beside(
    service: str, engine: AsyncEngine, sessions: Sessions, work: Mapping[str, Work]
) -> AsyncGenerator[None]:
    """Run the work beside the requests, from when the database is migrated until the service stops."""

    async def begin() -> None:
        await _until_migrated(service, engine)
        async with asyncio.TaskGroup() as group:  # unlike `gather`, it waits for all when it is cancelled
            for name, run in work.items():
                group.create_task(_keep_running(name, run, sessions), name=name)

    task = asyncio.create_task(begin())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_migrated(service: str, engine: AsyncEngine) -> None:
    said = False
    while True:
        try:
            async with engine.connect() as connection:
                if await migrations.is_current(connection, service):
                    return
            reason = "it is not migrated"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if not said:
            log.warning("waiting for the database", reason=reason)
            said = True
        await asyncio.sleep(RESTART_SECONDS / 2)


async def _keep_running(name: str, run: Work, sessions: Sessions) -> None:
    while True:
        try:
            await run(sessions)
        except Exception as error:
            log.error("background work failed and starts again", work=name, error=error)
        await asyncio.sleep(RESTART_SECONDS)


async def _replay(_: Request, replay: Exception) -> Response:
    assert isinstance(replay, Replay)
    return replay.response


def _describe_problems(app: FastAPI) -> None:
    """Add the component that every `default` response refers to; FastAPI would put a model under application/json."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        return schema

    app.openapi = openapi  # pyright: ignore[reportAttributeAccessIssue]  # the documented way to extend the document
