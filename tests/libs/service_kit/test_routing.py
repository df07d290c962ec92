"""Routers that say by their prefix what is theirs find what plain routers find."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from libs.service_kit.routing import NounRouter

PREFIXES = ("/api/v1/tokens", "/api/v1/tokens/keys", "/api/v1/token", "/health", "")
PATHS = [
    *(
        f"{prefix}{rest}"
        for prefix in PREFIXES
        for rest in ("", "/", "/7", "/7/parts", "/7/parts/8", "/fixed", "-more")
    ),
    "/api/v1",
    "/api/v1/tokens7",
]


def build(kind: type[APIRouter]) -> FastAPI:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    def answer_of(name: str) -> Callable[[], Awaitable[str]]:
        async def answer() -> str:
            return name

        return answer

    for prefix in PREFIXES:
        router = kind(prefix=prefix)
        for path in ("" if prefix else "/", "/fixed", "/{id}", "/{id}/parts/{part}"):
            router.add_api_route(path, answer_of(prefix + path), methods=["GET"])
        app.include_router(router)
    return app


async def asked(app: FastAPI, method: str, path: str, root_path: str = "") -> tuple[int, bytes, str | None]:
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = await client.request(method, path)
    return answer.status_code, answer.content, answer.headers.get("location")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_path_is_answered_as_by_a_plain_router(method, path):
    assert await asked(build(NounRouter), method, path) == await asked(build(APIRouter), method, path)


@pytest.mark.parametrize("root", ["/below", "/ap", "/api"])
async def test_below_a_root_path_too(root):
    for path in ("/api/v1/tokens/7", "/health", "/nowhere/at/all"):
        ours = await asked(build(NounRouter), "GET", root + path, root)
        assert ours == await asked(build(APIRouter), "GET", root + path, root)


@pytest.mark.parametrize("root", ["/ap", "/api", "/api/v1/tokens", "/health", "/"])
async def test_a_path_that_does_not_repeat_the_root_path_is_answered_alike_too(root):
    ours, plain = build(NounRouter), build(APIRouter)
    for path in PATHS:
        assert await asked(ours, "GET", path, root) == await asked(plain, "GET", path, root)


async def test_the_routes_of_another_prefix_are_not_looked_through(monkeypatch):
    looked = []
    app = build(NounRouter)
    original = APIRouter.matches
    monkeypatch.setattr(APIRouter, "matches", lambda self, scope: looked.append(self.prefix) or original(self, scope))
    await asked(app, "GET", "/health/7")
    assert "/health" in looked
    assert not {prefix for prefix in looked if prefix.startswith("/api")}
