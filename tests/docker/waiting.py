"""Waiting for something that comes about in a container."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest


def eventually(probe: Callable[[], Any], seconds: float = 60) -> Any:
    """What the probe finds as soon as it finds something; the test fails when nothing is found in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := probe():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    pytest.fail(f"nothing was found in {seconds:.0f} seconds")
