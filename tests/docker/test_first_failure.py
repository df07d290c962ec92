"""A real Prometheus sees the very first failure of a route: `increase` counts it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
from fastapi import FastAPI, Response
from stack.ports import free_port

from libs.observability import explain, instrument
from tests.docker.images import image
from tests.fixtures.app import serving
from tests.fixtures.waiting import eventually_async

FAILURES = {
    "requests": 'increase(http_requests_total{handler="/orders/{id}", status="5xx"}[1m])',
    "problems": 'increase(http_problems_total{handler="/orders/{id}", type="half-empty"}[1m])',
    "durations": 'increase(http_request_duration_seconds_count{handler="/orders/{id}"}[1m])',
}


def build() -> FastAPI:
    """A service of one route, which fails."""
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/orders/{id}")
    async def read(id: int) -> Response:
        explain("half-empty")
        return Response(status_code=503)

    instrument(app, problems=lambda _: ["half-empty"])
    return app


@asynccontextmanager
async def prometheus(docker: Callable[..., str], folder: Path, target: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a Prometheus that scrapes this target every second."""
    config, port = folder / "prometheus.yml", free_port()
    job = f"{{ job_name: shop-service, scrape_interval: 1s, static_configs: [{{ targets: ['{target}'] }}] }}"
    config.write_text(f"scrape_configs: [{job}]\n")
    name = docker(
        "run", "-d", "--name", f"all-erp-test-{uuid4().hex[:8]}", "--network", "host",
        "-v", f"{config}:/etc/prometheus/prometheus.yml:ro", image("prometheus"),
        "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus",
        f"--web.listen-address=127.0.0.1:{port}",
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def is_ready() -> bool:
                with suppress(httpx.TransportError):
                    return (await client.get("/-/ready")).status_code == 200
                return False

            await eventually_async(is_ready, 60, "Prometheus is not ready")
            yield client
    finally:
        docker("rm", "-f", "-v", name)


async def test_the_first_failure_of_a_route_is_an_increase(docker, tmp_path):
    tmp_path.chmod(0o755)
    async with (
        serving(build()) as url,
        prometheus(docker, tmp_path, url.removeprefix("http://")) as client,
        httpx.AsyncClient() as user,
    ):

        async def values() -> dict[str, float]:
            found: dict[str, float] = {}
            for name, query in FAILURES.items():
                answer = await client.get("/api/v1/query", params={"query": query})
                for series in answer.json()["data"]["result"]:
                    found[name] = float(series["value"][1])
            return found

        async def are_scraped() -> bool:
            return set(await values()) == set(FAILURES)

        async def are_counted() -> bool:
            return min((await values()).values()) > 0

        await eventually_async(are_scraped, 60, "the route has no series before its first request")
        assert set((await values()).values()) == {0}
        assert (await user.get(f"{url}/orders/1")).status_code == 503
        await eventually_async(are_counted, 60, "the first failure is no increase")
