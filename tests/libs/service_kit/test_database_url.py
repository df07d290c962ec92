"""A database that refuses a service ends it before its port opens; for one that does not answer, the service waits."""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from stack import postgres
from stack.ports import free_port

from libs.service_kit import database, migrations
from libs.service_kit.database import check_database
from libs.service_kit.settings import DatabaseSettings
from tests.fixtures.certificates import certificate
from tests.libs.service_kit.probe.main import Settings

ROOT = Path(migrations.__file__).parents[2]
MADE = """create role mighty login bypassrls password '{password}'; grant connect on database probe to mighty;
create role crowded login connection limit 0 password '{password}'; grant connect on database probe to crowded"""

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "wrong password": ({"password": "x"}, 'password authentication failed for user "probe_app"'),
    "no such role": ({"username": "nobody"}, 'password authentication failed for user "nobody"'),
    "no such database": ({"database": "nothing"}, 'database "nothing" does not exist'),
    "another service's database": ({"database": "auth"}, 'permission denied for database "auth"'),
    "superuser": ({"username": "postgres"}, "this role bypasses row-level security; use the service's own role"),
    "bypassing role": ({"username": "mighty"}, "this role bypasses row-level security; use the service's own role"),
    "no TLS there": ({"query": {"ssl": "require"}}, "rejected SSL upgrade"),
    "no certificates here": ({"query": {"ssl": "verify-full"}}, "root.crt"),
}
AWAY: dict[str, dict[str, Any]] = {
    "nobody listens": {"port": 1},
    "no such host": {"host": "nohost.invalid"},
    "full": {"username": "crowded"},
}


@pytest.fixture(scope="module")
def url(postgres_server: postgres.Server, database_url: Callable[[str], str]) -> URL:
    """The probe's database, beside two roles that are not its own."""

    async def make() -> None:
        connection = await asyncpg.connect(postgres.url(postgres_server, database="probe"))
        await connection.execute(MADE.format(password=postgres_server.password))
        await connection.close()

    asyncio.run(make())
    return make_url(database_url("probe"))


def settings(url: URL) -> Settings:
    return Settings(database=DatabaseSettings(url=SecretStr(url.render_as_string(hide_password=False))))


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_that_names_the_variable(url, capsys, monkeypatch, tmp_path, case):
    monkeypatch.setenv("HOME", str(tmp_path))
    wrong, said = REFUSED[case]
    with pytest.raises(SystemExit) as end:
        check_database(settings(url.set(**wrong)))
    (line,) = capsys.readouterr().err.splitlines()
    assert (end.value.code, line.startswith("probe-service cannot start: DATABASE__URL: ")) == (2, True), line
    assert said in line


@pytest.mark.parametrize("case", AWAY)
def test_a_database_that_lets_nobody_in_is_waited_for(url, capsys, case):
    check_database(settings(url.set(**AWAY[case])))
    assert capsys.readouterr().err == ""


def test_a_database_that_does_not_answer_is_waited_for(url, capsys, monkeypatch):
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        check_database(settings(url.set(port=silent.getsockname()[1])))
    assert capsys.readouterr().err == ""


def test_a_resolver_that_does_not_answer_is_not_waited_for(url, capsys, monkeypatch):
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    may_end, ended = threading.Event(), threading.Event()

    def never(*_: object, **__: object) -> None:
        may_end.wait(30)
        ended.set()

    monkeypatch.setattr(socket, "getaddrinfo", never)
    check_database(settings(url.set(host="somewhere")))
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(10)
    assert capsys.readouterr().err == ""


@pytest.fixture
def port_of_a_stranger(tmp_path: Path) -> Iterator[int]:
    """A server that agrees to TLS, with a certificate that nobody has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path / "stranger", "database"))

    def shake_hands() -> None:
        taken, _ = listening.accept()
        taken.recv(8)
        taken.sendall(b"S")
        with pytest.raises(ssl.SSLError), taken:
            context.wrap_socket(taken, server_side=True).recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=shake_hands)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_a_certificate_of_somebody_else_is_a_refusal(url, capsys, monkeypatch, tmp_path, port_of_a_stranger):
    monkeypatch.setenv("PGSSLROOTCERT", str(certificate(tmp_path / "trusted", "database")))
    with pytest.raises(SystemExit):
        check_database(settings(url.set(port=port_of_a_stranger, query={"ssl": "verify-ca"})))
    (line,) = capsys.readouterr().err.splitlines()
    assert "DATABASE__URL: " in line
    assert "certificate verify failed" in line


def test_the_process_ends_before_its_port_opens(url):
    port = free_port()
    mighty = url.set(username="postgres").render_as_string(hide_password=False)
    given = {"PORT": str(port), "DATABASE__URL": mighty, "PATH": os.environ["PATH"], "PYTHONPATH": "."}
    command = [sys.executable, "-m", "tests.libs.service_kit.probe.main"]
    ended = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("probe-service cannot start: DATABASE__URL: ")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"password": "x"}, "The database refuses DATABASE__URL: asyncpg.exceptions.InvalidPasswordError."),
        ({"username": "postgres"}, "The database refuses DATABASE__URL: libs.service_kit.database.UnboundRole."),
        ({"port": 1}, "The database does not answer: ConnectionRefusedError."),
    ],
)
async def test_a_refusal_later_is_told_by_ready_and_is_no_mistake_of_the_service(
    run_probe, url, make_token, caplog, wrong, said
):
    headers = {"authorization": f"Bearer {make_token()}"}
    refused = settings(url.set(**wrong)).database
    async with run_probe(database=refused) as base, httpx.AsyncClient(base_url=base, headers=headers) as client:
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["detail"]) == (503, said)
        assert (await client.get("/api/v1/notes")).status_code == 503
    assert [record for record in caplog.records if record.exc_info] == []
