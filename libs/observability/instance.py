"""Which process this is: the same id on its spans, in `service_info` and in each of its lines."""

import os
from uuid import uuid4

from opentelemetry.sdk.resources import OTELResourceDetector

from .forks import in_child

_id: str | None = None


def instance_id() -> str:
    """`service.instance.id` of `OTEL_RESOURCE_ATTRIBUTES`, else a UUID, of which a forked process has one of its own."""
    global _id
    if _id is None:
        _id = str(OTELResourceDetector().detect().attributes.get("service.instance.id") or uuid4())
    return _id


def process_attributes() -> dict[str, str | int]:
    """What a resource says of the process, but for what `OTEL_RESOURCE_ATTRIBUTES` says."""
    ours, given = {"service.instance.id": instance_id(), "process.pid": os.getpid()}, _given()
    return {name: value for name, value in ours.items() if name not in given}


def _given() -> set[str]:
    pairs = [pair.partition("=") for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")]
    return {name.strip() for name, _, value in pairs if value.strip()}


def _renew() -> None:
    global _id
    if "service.instance.id" not in _given():
        _id = str(uuid4())


in_child(_renew)
