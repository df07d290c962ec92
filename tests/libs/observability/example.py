"""The app that the tests ask: routes of every kind, a neighbour that it asks in turn, and what is counted of both."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from prometheus_client import CollectorRegistry
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from libs.observability import bind, get_logger
from libs.observability.http import trace_id

log = get_logger("items")

OFF = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own telemetry."""


def who_is_asking() -> None:
    """Runs on a thread: what it binds has to be seen on the loop."""
    bind(user_id="u-1")


async def commit() -> AsyncIterator[None]:
    yield
    raise RuntimeError("commit failed")


def build() -> FastAPI:
    app = FastAPI(telemetry=OFF)

    @app.get("/items/{id}")
    async def read(id: int, asking: Annotated[None, Depends(who_is_asking)]) -> dict[str, str | None]:
        bind(tenant_id="t-1")
        log.info("item read", id=id)
        return {"trace_id": trace_id()}

    @app.get("/broken/{id}")
    async def broken(id: str) -> None:
        raise RuntimeError("password=hunter2")

    @app.get("/commit", dependencies=[Depends(commit)])
    async def after_the_answer() -> str:
        return "done"

    @app.get("/odd")
    async def odd() -> None:
        bind(duration_ms="long", span_id="mine", note="kept")

    @app.get("/unavailable")
    async def unavailable() -> None:
        raise HTTPException(503)

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(release.wait)
        return "answered"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"a", b"b"]))

    @app.get("/health/live")
    @app.get("/loud")
    async def ask_a_neighbour(port: int) -> int:
        log.info("neighbour asked")
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/")).status_code

    @app.post("/slash/")
    async def slash() -> None: ...

    @app.get("/ids/{id}/")
    async def ids(id: str) -> None: ...

    inner = APIRouter(prefix="/inner")

    @inner.get("/x/{i}")
    async def nested(i: int) -> int:
        return i

    middle = APIRouter(prefix="/middle")
    middle.include_router(inner)
    app.include_router(middle, prefix="/api/v1")
    below = FastAPI(telemetry=OFF)

    @below.get("/s/{z}")
    async def mounted(z: str) -> str:
        return z

    app.mount("/sub", below)
    app.router.routes.append(Route("/plain/{q}", plain))
    app.router.routes.append(Mount("/opaque", app=nothing))
    release = asyncio.Event()
    release.set()
    return app


def plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 200, without a body, to whatever is asked."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def swallow(message: Message) -> None:
    """A server that sends nothing on."""


async def neighbour(received: list[str]) -> asyncio.Server:
    """Another service, on a real socket, that keeps the heads of its requests."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


def counts(registry: CollectorRegistry, metric: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Value by labels, with the Instrumentator's name for "no route"."""
    return {
        tuple(
            sorted((name, "unmatched" if value == "none" else value) for name, value in sample.labels.items())
        ): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == metric
    }
