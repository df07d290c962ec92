"""A PostgreSQL server from the wheel, and the databases and roles on it, under root and under other users."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from stack import databases, postgres
from stack.ports import free_port

ROLES = """
select rolname, rolcanlogin, rolsuper or rolbypassrls or rolcreatedb or rolcreaterole as mighty
from pg_roles where rolname like 'shop\\_%' order by rolname
"""


async def ask(url: str, question: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(question)]
    finally:
        await connection.close()


def test_data_survives_a_stop_and_a_password_is_required(tmp_path):
    server = postgres.at(tmp_path / "postgres", port=free_port(), password="right")
    try:
        postgres.start(server)
        asyncio.run(ask(postgres.url(server), "create table kept as select 7 as n"))
        postgres.stop(server)
        postgres.stop(server)
        postgres.start(server)
        assert asyncio.run(ask(postgres.url(server), "select n from kept")) == [(7,)]
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(ask(postgres.url(server).replace("right", "wrong"), "select 1"))
    finally:
        postgres.stop(server)
        postgres.remove(server)
    assert not server.data.exists()


def test_databases_and_roles_are_created_once_with_few_rights(tmp_path):
    server = postgres.at(tmp_path / "postgres", port=free_port(), password="pass'word")
    try:
        postgres.start(server)
        for _ in range(2):
            asyncio.run(databases.create(postgres.url(server), ["shop"], password="pass'word"))
        roles = asyncio.run(ask(postgres.url(server), ROLES))
        assert roles == [("shop_app", True, False), ("shop_owner", True, False), ("shop_relay", False, False)]
        app = postgres.url(server, database="shop", user="shop_app")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            asyncio.run(ask(app, "create table mine (n int)"))
        asyncio.run(ask(app, "set role shop_relay"))
    finally:
        postgres.stop(server)
        postgres.remove(server)


def test_a_creation_that_was_interrupted_starts_over(tmp_path):
    server = postgres.at(tmp_path / "postgres", port=free_port(), password="right")
    (server.folder / "unfinished-1").mkdir()
    (server.folder / "unfinished-1" / "half").write_text("")
    postgres.create(server)
    assert (server.data / "PG_VERSION").exists()
    assert not (server.folder / "unfinished-1").exists()
    postgres.remove(server)


def test_copied_binaries_serve_where_the_wheel_is_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "_can_run", lambda binary, who: False)
    server = postgres.at(tmp_path / "postgres", port=free_port(), password="right")
    try:
        assert server.folder in server.binaries.parents
        postgres.start(server)
        assert asyncio.run(ask(postgres.url(server), "select 1")) == [(1,)]
    finally:
        postgres.stop(server)
        postgres.remove(server)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest lets nobody else into its own, and closes them at each of its starts."""
    with tempfile.TemporaryDirectory(dir=postgres.REACHABLE) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_a_server_of_their_own(open_folder):
    somebody = pwd.getpwnam("daemon")
    folder = open_folder / "theirs"
    folder.mkdir()
    os.chown(folder, somebody.pw_uid, somebody.pw_gid)
    server = postgres.at(open_folder / "binaries", port=free_port(), password="right")
    program = (
        "import sys; from pathlib import Path; from stack import postgres\n"
        f"server = postgres.Server(Path({str(folder)!r}), {server.port}, 'right', Path({str(server.binaries)!r}))\n"
        "postgres.start(server); print(server.data.stat().st_uid); postgres.stop(server)"
    )
    # The checkout and its Python may be out of that user's reach; the module needs neither.
    package = open_folder / "code" / "stack"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(postgres.__file__, package)
    done = subprocess.run(
        [shutil.which("python3", path=os.defpath) or sys.executable, "-c", program],
        user=somebody.pw_uid,
        group=somebody.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(package.parent), "PATH": os.defpath},
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(somebody.pw_uid)), done.stderr
