"""A client that lost the answer to a creating request repeats the request and gets that answer; one thing is made."""

import json
import secrets
import socket
from urllib.parse import urlsplit

from libs.journey import steps
from tests.fixtures.waiting import eventually


def test_a_lost_answer_is_given_again(stack, tenant):
    code, key = f"lost-{secrets.token_hex(3)}", secrets.token_hex(8)
    wanted = {"code": code, "name": "Made once"}
    send_and_hang_up(stack.urls["personnel"], "/api/v1/departments", tenant.admin.token, key, wanted)

    def made() -> list[str]:
        every = steps.pages(tenant.admin, "personnel", "/api/v1/departments")
        return [each["id"] for each in every if each["code"] == code]

    first = eventually(made, 20, "the request whose answer was lost has had no effect")
    again = tenant.admin.call("personnel", "POST", "/api/v1/departments", json=wanted, key=key, expect=201)
    assert again.headers["idempotent-replayed"] == "true"
    assert [again.body["id"]] == first == made()


def send_and_hang_up(url: str, path: str, token: str, key: str, wanted: dict[str, str]) -> None:
    """Send a whole request and close the connection before the answer is read, but not before it has begun to come."""
    body = json.dumps(
        wanted, separators=(",", ":")
    ).encode()  # the very bytes that httpx sends when the request is repeated
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as connection:
        connection.sendall(head.encode() + body)
        connection.recv(1)
