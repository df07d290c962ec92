"""The server of a service: uvicorn, with limits for what a client may cost, and an end at which nobody loses a request."""

import asyncio
import ctypes
import gc
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from libs.observability import get_logger
from libs.service_kit.connections import LimitedProtocol, Limits

# Collections are rarer than by default (700, 10, 10): reference counting alone frees the objects of a request.
GC_THRESHOLDS = (10_000, 20, 50)
M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 1024 * 1024
GRACEFUL_SECONDS = 10
"""How long a service that stops lets its requests end; then it flushes its telemetry."""
LOOK_SECONDS = 0.1
CLOSE = (b"connection", b"close")
DRAINING = "is_draining"
"""In the state of each request that comes while the service drains."""

log = get_logger(__name__)

OPTIONS: dict[str, Any] = {
    "http": LimitedProtocol,
    "backlog": Limits().connections,  # asyncio accepts as many at once, before it looks at the first of them
    "ws": "none",
    "workers": 1,  # whatever WEB_CONCURRENCY says: uvicorn would want the app by its name
    "proxy_headers": False,
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "timeout_keep_alive": 30,
    "timeout_graceful_shutdown": GRACEFUL_SECONDS,
}


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which a SIGTERM ends in two steps: it drains for some seconds, and then stops.

    uvicorn alone stops at once. It closes its port, where those who have not heard of it yet still come, and every idle
    connection, on which a request may be under way. A server that drains goes on answering, also on new connections, but
    says at `/health/ready` that it is not ready, and with each answer that it closes the connection: whoever asks again does
    so elsewhere. The drain ends after its time, or by a second signal.
    """

    def __init__(self, config: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._signals: list[int] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember which signal came."""
        self._signals.append(sig)
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        """Serve until a signal comes, then drain."""
        await super().main_loop()
        if self._drain_seconds and self._signals == [signal.SIGTERM]:  # Ctrl-C does not wait
            await self._drain()

    async def _drain(self) -> None:
        self.should_exit = False  # a second signal sets it again
        self.lifespan.state[DRAINING] = True
        self.config.encoded_headers.append(CLOSE)  # of which uvicorn makes, each second, the headers of new requests
        self.server_state.default_headers.append(CLOSE)  # those of this second
        connections = cast("Collection[Any]", self.server_state.connections)
        for each in connections:
            if each.cycle and not each.cycle.response_complete:
                each.cycle.keep_alive = False  # a request that is under way has its headers already
        at_most, began = self._drain_seconds, time.monotonic()
        log.info("draining: not ready, but still answering", connections=len(connections), drain_seconds=at_most)
        looks = 0
        while (seconds := time.monotonic() - began) < at_most:
            looks += 1
            if await self.on_tick(looks):
                break
            await asyncio.sleep(LOOK_SECONDS)
        log.info("drained: stopping", connections=len(connections), seconds=round(seconds, 1))


def run(app: FastAPI, *, host: str, port: int, proxies: str = "", drain_seconds: float = 0) -> None:
    """Run an app until a signal stops it.

    `proxies`, if there are any, are believed about the address of a client. `drain_seconds`: for how long at most it goes on
    answering after a SIGTERM; see `DrainingServer`.
    """
    # Everything imported and built so far lives until the end, so the collector need not examine it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    _give_large_blocks_back()
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # a terminal that closes; under nohup it is ignored
        signal.signal(signal.SIGHUP, _terminate)
    trust: dict[str, Any] = {"proxy_headers": bool(proxies), "forwarded_allow_ips": proxies}
    server = DrainingServer(uvicorn.Config(app, host=host, port=port, **OPTIONS | trust), drain_seconds)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _terminate(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)


def _give_large_blocks_back() -> None:
    """Have the C library return each large block to the system when it is freed, as it does by default only at first.

    glibc raises its threshold to the largest block it has seen, up to 32 MiB, and lets each thread keep twice as much:
    forty logins at a time, two hashes of 19 MiB at once, left 136 MiB behind.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
