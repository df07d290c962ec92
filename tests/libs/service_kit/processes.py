"""The probe as a process of its own, with the settings of an environment."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from libs.service_kit import migrations


def variables(port: int, database_url: Callable[[str], str], jwks_url: str, folder: Path) -> dict[str, str]:
    """The environment of one that answers at this port, and logs into this folder."""
    return {
        "PORT": str(port),
        "DATABASE__URL": database_url("probe"),
        "SERVICES__AUTH": jwks_url,
        "LOG_DIR": str(folder),
    }


@asynccontextmanager
async def process(**environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start it; it is killed in the end, if it still runs."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.libs.service_kit.probe.main",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ".", "OTEL_TRACES_EXPORTER": "none", **environment},
        cwd=Path(migrations.__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.communicate()  # closes its pipe, which would otherwise outlive the event loop


async def is_alive(service: asyncio.subprocess.Process, client: httpx.AsyncClient, path: str = "/health/live") -> bool:
    """Whether it answers a health check with 200; an error if it has ended."""
    assert service.returncode is None
    with contextlib.suppress(httpx.ConnectError):
        return (await client.get(path)).status_code == 200
    return False
