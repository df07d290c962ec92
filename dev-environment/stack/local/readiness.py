"""Whether services and watchers answer that they are ready."""

import http.client
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import NamedTuple

from stack.local import watchers
from stack.services import Kind
from stack.settings import Settings

ANSWER_SECONDS = 3.0


class Silence(NamedTuple):
    """Why a watcher does not answer, and whether that is because it has ended."""

    reason: str
    has_ended: bool

    def __str__(self) -> str:
        what = (
            "watches nothing, and the services go on without it"
            if self.has_ended
            else "is not ready yet (`make status`)"
        )
        return f"{what}: {self.reason}"


def not_ready(settings: Settings, programs: Sequence[Kind], seconds: float = ANSWER_SECONDS) -> dict[Kind, str]:
    """The programs that are not ready within these seconds, each with its reason. All are asked at the same time."""
    ports, paths = [watchers.port(each, settings) for each in programs], [each.health for each in programs]
    with ThreadPoolExecutor(max_workers=len(programs) or 1) as pool:
        reasons = pool.map(_reason, ports, paths, repeat(seconds))
    return {each: reason for each, reason in zip(programs, reasons, strict=True) if reason}


def _reason(port: int, path: str, seconds: float) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {port} ({type(error).__name__})"
    finally:
        connection.close()
    if response.status == 200:
        return ""
    try:
        return str(json.loads(body).get("detail", response.status))
    except (ValueError, AttributeError):
        return f"it answers {response.status}"
