"""A connection that is refused before the application has seen its request: counted by reason, told once a minute, answered."""

from http import HTTPStatus

import orjson
from prometheus_client import Counter

from libs.service_kit.answers import OVERLOADED
from libs.service_kit.availability import Failures

REASONS = ("head", "slow", "malformed", "pipelined", "connections", "unread")
HEAD, SLOW, MALFORMED, PIPELINED, CROWDED, UNREAD = REASONS
REFUSED = Counter(
    "http_connections_refused_total",
    "Connections that were ended before a request of theirs had reached the application, or for not reading its answer, by reason",
    ["reason"],
)
for _reason in REASONS:
    REFUSED.labels(_reason)


class Refusal(Exception):
    """Why a connection is refused. One line a minute says so, with the number of those that were left out."""


REFUSALS = Failures("a connection was refused", Refusal)


def count(reason: str, detail: str) -> None:
    """Count a refused connection, and say so in a line a minute."""
    REFUSED.labels(reason).inc()
    REFUSALS.tell(Refusal(detail))


def answer(status: int, detail: str) -> bytes:
    """The whole HTTP answer, a problem document, after which the connection closes."""
    kind, title = (OVERLOADED, "Overloaded") if status == 503 else ("about:blank", HTTPStatus(status).phrase)
    body = orjson.dumps({"type": kind, "title": title, "status": status, "detail": detail})
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "content-type: application/problem+json"]
    head += [f"content-length: {len(body)}", "connection: close", *(["retry-after: 1"] if status == 503 else [])]
    return "\r\n".join([*head, "", ""]).encode() + body
