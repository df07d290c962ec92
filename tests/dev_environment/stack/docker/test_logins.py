"""Where Grafana refuses the password of the settings, the table of `make up` does not show that one, and says so."""

import socketserver
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from stack import administrator, report
from stack.docker import logins
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
    return Settings(DEFAULTS | {"GRAFANA_PORT": str(free_port())} | given, {})


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
