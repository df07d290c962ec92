"""A broker that refuses the settings' login is given it; of Grafana's, which somebody may have chosen, the table says so."""

import socketserver
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from pamqp import commands, frame
from stack import administrator, report
from stack.docker import engine, logins
from stack.ports import free_port
from stack.settings import DEFAULTS, Settings

ODD = "p:é/#?@%41 ${X}'\""


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings(**given: str) -> Settings:
    ports = {name: str(free_port()) for name in ("GRAFANA_PORT", "RABBITMQ_PORT")}
    return Settings(DEFAULTS | ports | given, {})


class Broker(socketserver.BaseRequestHandler):
    """The login of AMQP; whoever has the right password is then asked to come again later."""

    login = b""

    def handle(self) -> None:
        self.request.recv(8)
        self.send(commands.Connection.Start(mechanisms="PLAIN", locales="en_US", server_properties={}))
        _, _, answer = frame.unmarshal(self.request.recv(65536))
        is_right = answer.response.encode() == self.login
        self.send(commands.Connection.Close(*((320, "later") if is_right else (403, "ACCESS_REFUSED")), 0, 0))
        self.request.recv(65536)

    def send(self, method: Any) -> None:
        self.request.sendall(frame.marshal(method, 0))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The calls of docker compose."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(engine, "compose", lambda *asked: calls.append(asked))
    return calls


@pytest.mark.parametrize(("password", "is_given"), [(ODD, False), ("another", True)])
def test_a_broker_that_refuses_the_login_is_given_it(asked, capsys, password, is_given):
    handler = type("Handler", (Broker,), {"login": f"\0all-erp\0{ODD}".encode()})
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server, running(server):
        logins.give_to_broker(settings(RABBITMQ_PORT=str(server.server_address[1]), RABBITMQ_PASSWORD=password))
    assert [call[:4] for call in asked] == [("exec", "-T", "rabbitmq", "sh")] * is_given
    assert ("RABBITMQ_PASSWORD" in capsys.readouterr().out) is is_given
    assert password not in str(asked)


def test_a_broker_that_is_away_is_left_alone(asked, caplog):
    logins.give_to_broker(settings())
    assert (asked, caplog.messages) == ([], [])


class Grafana(BaseHTTPRequestHandler):
    """Knows one administrator."""

    def do_GET(self) -> None:
        given = b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        self.send_response(200 if (self.path, given) == ("/api/user", f"admin:{ODD}") else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def grafana() -> Iterator[str]:
    """The port of a Grafana whose administrator has an odd password."""
    with HTTPServer(("127.0.0.1", 0), Grafana) as server, running(server):
        yield str(server.server_address[1])


def test_grafana_says_whose_password_is_another(grafana):
    assert not logins.is_refused_by_grafana(settings(GRAFANA_PORT=grafana, GRAFANA_ADMIN_PASSWORD=ODD))
    assert logins.is_refused_by_grafana(settings(GRAFANA_PORT=grafana, GRAFANA_ADMIN_PASSWORD="another"))
    assert not logins.is_refused_by_grafana(settings())


@pytest.mark.parametrize("is_refused", [False, True])
def test_no_password_is_shown_that_grafana_refuses(monkeypatch, capsys, is_refused):
    monkeypatch.setattr(administrator, "has_password_of", lambda _: True)
    report.summary(settings(GRAFANA_ADMIN_PASSWORD=ODD), containers=["grafana"], is_refused_by_grafana=is_refused)
    told = capsys.readouterr().out
    assert (ODD in told) is not is_refused
    assert ("(another, chosen since)" in told) is is_refused
    assert ("grafana cli admin reset-admin-password" in told) is is_refused
