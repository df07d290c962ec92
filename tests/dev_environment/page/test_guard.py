"""The page answers only who names this machine as no other site can, and comes from no other site."""

import pytest
from page.guard import OnlyFromHere
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect


async def accept(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here")), WebSocketRoute("/socket", accept)])
    return TestClient(OnlyFromHere(app))


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost:3000", "localhost", "LOCALHOST:3000"])
def test_this_machine_is_answered_with_a_policy_that_names_no_other_host(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.text == "here"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[", ""])
def test_another_name_is_refused(client, host):
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:8000", "https://127.0.0.1:3000", "null"])
def test_another_origin_is_refused(client, origin):
    headers = {"host": "127.0.0.1:3000", "origin": origin}
    assert client.post("/", headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket", headers=headers):
        pass


def test_a_socket_of_this_page_is_accepted(client):
    headers = {"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3000"}
    with client.websocket_connect("/socket", headers=headers) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert closed.value.code == 1000
