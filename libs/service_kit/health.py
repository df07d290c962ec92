"""Health checks for orchestrators: whether the process is alive, and whether it can serve requests."""

import asyncio

from fastapi import APIRouter, Request, Response

from libs.service_kit import migrations
from libs.service_kit.database import refusal
from libs.service_kit.errors import problem
from libs.service_kit.routing import NounRouter
from libs.service_kit.server import DRAINING

CHECK_SECONDS = 2.0
METHODS = ["GET", "HEAD"]  # some load balancers check with HEAD


def health_router(service: str) -> APIRouter:
    """`/health/live` and `/health/ready`, for which observability makes no spans or log lines.

    The readiness check has a database connection of its own: when requests use up their pool, the database still answers.
    The broker is no part of it: without one requests are answered, and their events wait in the outbox.
    """
    router = NounRouter(prefix="/health", include_in_schema=False)

    @router.api_route("/live", methods=METHODS)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @router.api_route("/ready", methods=METHODS)
    async def ready(request: Request) -> Response:
        if getattr(request.state, DRAINING, False):
            return problem(503, "not-ready", detail="The service is stopping: it still answers, but send it no more.")
        try:
            async with asyncio.timeout(CHECK_SECONDS), request.state.checking.connect() as connection:
                is_migrated = await migrations.is_migrated(connection, service)
        except Exception as error:
            refused = refusal(error)
            why = f"refuses DATABASE__URL: {refused['type']}" if refused else f"does not answer: {type(error).__name__}"
            return problem(503, "not-ready", detail=f"The database {why}.")
        if not is_migrated:
            return problem(503, "not-ready", detail="The database is not migrated to this version.")
        return Response(b'{"status":"ready"}', media_type="application/json")

    return router
