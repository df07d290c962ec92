"""The server of a service: uvicorn, with limits for what a client may cost, and a process that gives memory back."""

import ctypes
import gc
import signal
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI

from libs.service_kit.connections import LimitedProtocol, Limits

# Collections are rarer than by default (700, 10, 10): reference counting alone frees the objects of a request.
GC_THRESHOLDS = (10_000, 20, 50)
M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 1024 * 1024
GRACEFUL_SECONDS = 10
"""How long a service that stops lets its requests end; then it flushes its telemetry."""

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


def run(app: FastAPI, *, host: str, port: int, proxies: str = "") -> None:
    """Run an app until a signal stops it. `proxies`, if there are any, are believed about the address of a client."""
    # Everything imported and built so far lives until the end, so the collector need not examine it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    _give_large_blocks_back()
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # a terminal that closes; under nohup it is ignored
        signal.signal(signal.SIGHUP, _terminate)
    trust: dict[str, Any] = {"proxy_headers": bool(proxies), "forwarded_allow_ips": proxies}
    uvicorn.run(app, host=host, port=port, **OPTIONS | trust)


def _terminate(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)


def _give_large_blocks_back() -> None:
    """Have the C library return each large block to the system when it is freed, as it does by default only at first.

    glibc raises its threshold to the largest block it has seen, up to 32 MiB, and lets each thread keep twice as much:
    forty logins at a time, two hashes of 19 MiB at once, left 136 MiB behind.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
