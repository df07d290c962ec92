"""The log line of a committed event: `allocation made`, with the event's own fields."""

from uuid import UUID

from libs.contracts import Event
from libs.observability import get_logger

log = get_logger(__name__)


def report(event: Event, actor_id: UUID | None) -> None:
    """Log the event; the line's `context` is the module of the event's class.

    `user_id` in a line is the user who acts, so another user's id is logged under a name such as `created_user_id`.
    """
    entity, happened, _ = event.type.split(".")
    fields = event.loggable()
    if "service" in fields:  # in a line it is the one that writes the line
        fields["participant"] = fields.pop("service")
    if fields.get("user_id") not in (None, str(actor_id)):
        fields[f"{happened}_user_id"] = fields.pop("user_id")
    write = log.warning if event.is_trouble else log.info
    write(f"{entity} {happened}".replace("_", " "), context=type(event).__module__, **fields)
