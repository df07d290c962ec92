"""The base of every event, and the CloudEvents 1.0 envelope in which it is sent."""

import re
from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

EVENTS: dict[str, type["Event"]] = {}
"""Every event class by its type. Importing a module of this package registers its events."""


class Event(BaseModel):
    """A fact about one entity, in the past tense.

    `type` is `<entity>.<what happened>.v<version>`, and the event has a field `<entity>_id`.
    Fields may be added to a version; any other change is a new version. No event carries a secret, since the audit trail
    keeps all events. A field with `repr=False` is left out of log lines.
    """

    model_config = ConfigDict(frozen=True)
    type: ClassVar[str]
    is_trouble: ClassVar[bool] = False
    """Whether the log line of the event is a warning."""
    _unlogged: ClassVar[set[str]]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.type in EVENTS or f"{cls.type.split('.')[0]}_id" not in cls.model_fields:
            raise TypeError(f"{cls.__name__}: the type {cls.type} is taken, or there is no field for its entity's id")
        EVENTS[cls.type] = cls
        cls._unlogged = {name for name, field in cls.model_fields.items() if not field.repr}

    @property
    def subject(self) -> str:
        """The entity that the event is about, as `<entity>/<id>`."""
        entity = self.type.split(".")[0]
        return f"{entity}/{getattr(self, f'{entity}_id')}"

    def loggable(self) -> dict[str, Any]:
        """The fields that may be logged, as plain JSON values."""
        return self.model_dump(mode="json", exclude=self._unlogged)


class CloudEvent(BaseModel):
    """The envelope: CloudEvents 1.0 in JSON, with the tenant, the actor and the trace as extension attributes.

    Extension names consist of lower-case letters and digits, as the specification requires.
    """

    model_config = ConfigDict(frozen=True)
    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    tenantid: UUID
    actorid: UUID | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    requestid: str | None = None
    data: dict[str, Any]


def trace_of(traceparent: object) -> str | None:
    """The trace id in a W3C `traceparent`, `00-<trace id>-<span id>-<flags>`; None when it is malformed."""
    known = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-.*", str(traceparent))
    return known[1] if known else None


def read_event(envelope: CloudEvent) -> Event | None:
    """The typed event in an envelope, or None when its type is unknown.

    Raises `pydantic.ValidationError` when the data does not fit the type.
    """
    known = EVENTS.get(envelope.type)
    return known.model_validate(envelope.data) if known else None
