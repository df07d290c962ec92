"""Which process this is: the same id on its spans, in `service_info` and in each of its lines."""

import os
import socket
from uuid import uuid4

from opentelemetry.sdk.resources import OTELResourceDetector

from .forks import in_child

_id: str | None = None


def instance_id() -> str:
    """`service.instance.id` of `OTEL_RESOURCE_ATTRIBUTES`, else a UUID; a forked process has one of its own."""
    global _id
    if _id is None:
        _id = str(OTELResourceDetector().detect().attributes.get("service.instance.id") or uuid4())
    return _id


def process_attributes() -> dict[str, str | int]:
    """What a resource says of the process."""
    return {"service.instance.id": instance_id(), "host.name": socket.gethostname(), "process.pid": os.getpid()}


def _renew() -> None:
    global _id
    _id = str(uuid4())


in_child(_renew)
