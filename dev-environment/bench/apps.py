"""The measured application, with a choice of telemetry: `python -m bench.apps ours`."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.service_kit.routing import NounRouter
from libs.service_kit.server import run

# As many as the client's, so that no request waits for a connection: that wait is not telemetry.
CONNECTIONS = 16


class Base(DeclarativeBase):
    """The table of the endpoint with a database."""


class Product(Base):
    """A row of that table."""

    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[int]


def build(engine: AsyncEngine, routes: int = 0) -> FastAPI:
    """The application: a small endpoint, one that reads a row through the ORM, and before them `routes` other routes.

    A negative number puts the other routes into five routers of the kit, as the services do.
    """
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    for number in range(routes):
        app.add_api_route(f"/other-{number}/{{id}}", read_item)
    for noun in range(5 if routes < 0 else 0):
        router = NounRouter(prefix=f"/noun-{noun}")
        for number in range(-routes // 5):
            router.add_api_route(f"/other-{number}/{{id}}", read_item)
        app.include_router(router)

    app.add_api_route("/items/{id}", read_item)

    @app.get("/products/{id}")
    async def read_product(id: int) -> dict[str, object]:
        async with sessions() as session:
            product = await session.get(Product, id)
        assert product is not None
        return {"id": product.id, "name": product.name, "price": product.price}

    return app


async def read_item(id: int) -> dict[str, object]:
    """The small endpoint."""
    return {"id": id, "name": "thing"}


def bare(app: FastAPI, engine: AsyncEngine) -> None:
    """No telemetry at all."""


def tutorial(app: FastAPI, engine: AsyncEngine) -> None:
    """What most tutorials show: one instrumentation for each library, all with their defaults."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor  # pyright: ignore[reportMissingTypeStubs]
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from prometheus_fastapi_instrumentator import Instrumentator
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.FileHandler(Path(os.environ["LOG_DIR"]) / "combined.log")
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    log = logging.getLogger("access")

    @app.middleware("http")
    async def log_request(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.perf_counter()
        response = await proceed(request)
        log.info(
            "request handled",
            extra={
                "method": request.method,
                "path": request.url.path,
                "status_code": response.status_code,
                "client_ip": request.client.host if request.client else None,
                "duration_ms": (time.perf_counter() - started) * 1000,
            },
        )
        return response

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(app)
    # It does nothing with SQLAlchemy 2.1 unless the version check is skipped.
    SQLAlchemyInstrumentor().instrument(engine=engine.sync_engine, skip_dep_check=True)
    Instrumentator().instrument(app).expose(app)


def ours(app: FastAPI, engine: AsyncEngine) -> None:
    """As `libs.service_kit.app.create_app` wires a service."""
    from libs.observability import instrument
    from libs.observability.sql import instrument_engine

    instrument_engine(engine, max_overflow=0)
    instrument(app)


def floor(app: FastAPI, engine: AsyncEngine) -> None:
    """The three signals written by hand: the lowest possible cost."""
    from bench.floor import Floor

    app.add_middleware(Floor, engine=engine)


def ours_without_metrics(app: FastAPI, engine: AsyncEngine) -> None:
    """Ours without metrics. Lines and spans can be switched off by variables; metrics cannot."""
    from libs.observability.metrics.http import HttpMetrics

    def observe_nothing(*_: object) -> None: ...

    HttpMetrics.observe = observe_nothing  # pyright: ignore[reportAttributeAccessIssue]
    ours(app, engine)


def ours_with_many_metrics(app: FastAPI, engine: AsyncEngine) -> None:
    """Ours with two thousand sample lines on `/metrics`, and the lag of the event loop at `/lag`."""
    from prometheus_client import Histogram

    from bench.floor import BOUNDS
    from bench.lag import Lag

    durations = Histogram("bench_seconds", "Durations.", ("kind", "place"), buckets=BOUNDS)
    for number in range(140):
        durations.labels(f"kind-{number % 10}", f"place-{number}").observe(0.2, {"trace_id": f"{number:032x}"})
    lag = Lag()
    running: list[asyncio.Task[None]] = []

    @app.get("/lag")
    async def read_lag() -> float:
        if not running:
            running.append(asyncio.create_task(lag.probe()))
        return lag.p99_ms()

    ours(app, engine)


WIRINGS: dict[str, Callable[[FastAPI, AsyncEngine], None]] = {
    wire.__name__: wire for wire in (bare, floor, tutorial, ours, ours_without_metrics, ours_with_many_metrics)
}


def main(wiring: str, routes: str = "0") -> None:
    """Serve on `PORT` until SIGTERM, with the database at `DATABASE__URL`."""
    engine = create_async_engine(os.environ["DATABASE__URL"], pool_size=CONNECTIONS, max_overflow=0)
    app = build(engine, int(routes))
    WIRINGS[wiring](app, engine)
    # The tutorials leave Python's garbage collector alone; `run` freezes the existing objects and makes it run less often.
    serve = partial(uvicorn.run, log_config=None, access_log=False) if wiring == "tutorial" else run
    serve(app, host="127.0.0.1", port=int(os.environ["PORT"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
