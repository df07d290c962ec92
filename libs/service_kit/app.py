"""The composition of a service: its middleware, routers, error handlers, health checks and lifetime, on one screen."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import Route

from libs.observability import instrument
from libs.observability.context import show_on_spans
from libs.observability.http import QUIET
from libs.service_kit import power, standing
from libs.service_kit.auth import KeySet, Principal
from libs.service_kit.background import Background, run_background
from libs.service_kit.capacity import bound_threads, capacity
from libs.service_kit.cleaning import clean
from libs.service_kit.client import ServiceClient, open_clients
from libs.service_kit.database import check_database, create_engine, create_pool
from libs.service_kit.errors import PROBLEM_CONTENT, PROBLEM_SCHEMA, Conflicts, add_error_handlers, problem_types
from libs.service_kit.events import http as events_by_http
from libs.service_kit.events.flow import create_outbox, flow
from libs.service_kit.events.inbox import Handlers
from libs.service_kit.events.metrics import begin_at_zero
from libs.service_kit.events.outbox import Counts
from libs.service_kit.export import export_router
from libs.service_kit.health import health_router
from libs.service_kit.idempotency import Replay, fingerprint_secret
from libs.service_kit.preconditions import describe_preconditions
from libs.service_kit.routing import NounRouter
from libs.service_kit.server import run
from libs.service_kit.settings import Loaded, ServiceSettings, check_address, load
from libs.service_kit.shedding import LoadShedding
from libs.service_kit.transactions import Sessions, create_sessions


def create_app(
    settings: ServiceSettings,
    *,
    description: str,
    routers: Sequence[NounRouter],
    handlers: Handlers | None = None,
    counts: Counts | None = None,
    conflicts: Conflicts | None = None,
    calls: Sequence[str] = (),
    exports: MetaData | None = None,
    background: Mapping[str, Background] | None = None,
    fetch_keys: Callable[[Sessions], Awaitable[Mapping[str, Any]]] | None = None,
    held: Callable[[Sessions, Principal], Awaitable[Collection[str]]] | None = None,
) -> FastAPI:
    """Build a service.

    `handlers`: the functions that handle the events it hears. `counts`: the functions that count the events it
    publishes. `conflicts`: the refusal that each constraint of its database stands for. `calls`: the services it calls;
    their clients are in `request.state.clients` by name. `exports`: the tables that a tenant's export consists of.
    `background`: further work that runs as long as the service. `fetch_keys`: fetches the public keys of tokens, and
    `held` what a caller may do by their row; by default auth is asked for both.
    """

    heard, stopped = standing.kept_by(handlers or {}), set[UUID]()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        bound_threads(capacity())
        outbox = create_outbox(settings, counts)
        begin_at_zero(settings.name, outbox.destinations)
        watch = partial(standing.watch, settings.name, stopped)
        own = {**(background or {}), "tenant standings": watch, "clean": partial(clean, settings.name)}
        async with (
            _opened(create_engine(settings.database)) as engine,
            _opened(create_pool(settings.database, 1, pool_pre_ping=True)) as checking,
            open_clients(settings.services, {"auth", *calls}) as clients,
            flow(settings, outbox, clients["auth"], heard) as relays,
        ):
            sessions = create_sessions(engine, outbox)
            secret = fingerprint_secret(engine.url.password)
            keys = KeySet(partial(fetch_keys, sessions) if fetch_keys else partial(_fetch_keys, clients["auth"]))
            async with run_background(settings.name, engine, sessions, own | relays):
                yield {
                    "engine": engine,
                    "checking": checking,
                    "sessions": sessions,
                    "clients": clients,
                    "keys": keys,
                    "held": partial(held, sessions) if held else partial(power.ask, clients["auth"]),
                    "stopped": stopped,
                    "fingerprint_secret": secret,
                }

    # FastAPI's own /docs loads its scripts from another host, so without a network the page is empty.
    app = FastAPIOffline(
        title=f"{settings.name}-service",
        description=description,
        version=settings.telemetry.service_version,
        lifespan=lifespan,
        responses={"default": {"description": "A problem", "content": PROBLEM_CONTENT}},
        # FastAPI's own spans, metrics and logs cost twice as much as the one middleware of observability.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(LoadShedding)
    exported = [export_router(settings.name, exports)] if exports else []
    for router in (
        *routers,
        *exported,
        events_by_http.events_router(settings.name, heard),
        health_router(settings.name),
    ):
        app.include_router(router)
    add_error_handlers(app, conflicts or {})
    app.add_exception_handler(Replay, _replay)
    _describe(app)
    show_on_spans({"tenant_id": "tenant.id"})
    # A batch of events belongs to many traces, so each event has its own span and line instead of the request.
    instrument(app, settings.telemetry, quiet=(*QUIET, events_by_http.PATH), problems=problem_types)
    return app


def serve(settings: type[Loaded], create: Callable[[Loaded], FastAPI]) -> None:
    """Run a service until a signal stops it: the whole of `python -m services.<name>.main`."""
    loaded = load(settings)
    check_address(loaded)
    check_database(loaded)
    run(
        create(loaded),
        host=loaded.host,
        port=loaded.port,
        proxies=loaded.forwarded_allow_ips,
        drain_seconds=loaded.drain_seconds,
    )


@asynccontextmanager
async def _opened(engine: AsyncEngine) -> AsyncGenerator[AsyncEngine]:
    try:
        yield engine
    finally:
        await engine.dispose()


async def _fetch_keys(auth: ServiceClient) -> Mapping[str, Any]:
    return await auth.get("/.well-known/jwks.json", dict[str, Any])


async def _replay(_: Request, replay: Exception) -> Response:
    assert isinstance(replay, Replay)
    return replay.response


def _describe(app: FastAPI) -> None:
    """Add what FastAPI cannot derive: the schema of problems, and that `IfMatch` is required and what it refuses.

    The document is described and encoded once for the routes that there are; FastAPI would encode it for each request.
    """
    generate = app.openapi
    described: dict[str, Any] = {}
    encoded = b""

    def openapi() -> dict[str, Any]:
        nonlocal described, encoded
        schema = generate()  # the same one as long as the routes are the same
        if schema is not described:
            schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
            describe_preconditions(schema)
            described, encoded = schema, orjson.dumps(schema)
        return described

    async def document(_: Request) -> Response:
        openapi()
        return Response(encoded, media_type="application/json")

    app.openapi = openapi  # pyright: ignore[reportAttributeAccessIssue]  # the documented way to extend the document
    paths = [getattr(route, "path", None) for route in app.routes]
    app.router.routes[paths.index(app.openapi_url)] = Route(str(app.openapi_url), document, include_in_schema=False)
