"""Whether services answer that they are ready."""

import http.client
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from stack import environment
from stack.services import Service
from stack.settings import Settings

ANSWER_SECONDS = 3.0


def not_ready(settings: Settings, services: Sequence[Service]) -> dict[Service, str]:
    """The services that are not ready, each with its reason. All are asked at the same time."""
    with ThreadPoolExecutor(max_workers=len(services)) as pool:
        reasons = pool.map(_reason, [environment.port(service, settings) for service in services])
    return {service: reason for service, reason in zip(services, reasons, strict=True) if reason}


def _reason(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/ready")
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
