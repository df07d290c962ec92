"""What a run needs: a PostgreSQL, a signer of tokens, and processes on separate cores."""

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import jwt
from bench.processes import ROOT, Process, start
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from stack import databases, postgres
from stack.ports import free_port

from libs.service_kit import migrations
from libs.service_kit.auth import ALGORITHM, AUDIENCE, ISSUER

PASSWORD = "only-for-the-bench"
SECRET = "of-the-bench"


class Signer:
    """Stands in for the auth service: serves its key set, and a token to every caller."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.keys = {"keys": [public | {"kid": "bench", "use": "sig", "alg": ALGORITHM}]}

    def token(self, tenant_id: str, *permissions: str, **more: str) -> str:
        """A token that is valid for an hour."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(uuid4()), "tenant_id": tenant_id, "jti": str(uuid4())}
        claims |= {"scope": " ".join(permissions), **more}
        return jwt.encode(
            {**claims, "iat": now, "exp": now + 3600}, self._key, ALGORITHM, {"typ": "at+jwt", "kid": "bench"}
        )

    @contextmanager
    def serving(self) -> Generator[str]:
        """Serve the keys and a token that may deliver events; yields the base URL."""
        signer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(signer.keys)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                token = signer.token(str(uuid4()), "events:deliver", client_id=asked["client_id"])
                self._answer({"access_token": token, "expires_in": 3600})

            def _answer(self, document: object) -> None:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, format: str, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Machine:
    """Everything that one run starts, in one folder; all of it ends with the run. Servers run on `server_core`, if given.

    `services` have databases; `measured` is the bench's own.
    """

    def __init__(
        self, folder: Path, server_core: int | None = None, services: Sequence[str] = ("measured", "system")
    ) -> None:
        self.folder = folder
        self._server_core = server_core
        self._services = services
        self.signer = Signer()
        self._stack = ExitStack()

    def __enter__(self) -> "Machine":
        """Start PostgreSQL with its default settings: commits are durable."""
        try:
            self.auth_url = self._stack.enter_context(self.signer.serving())
            self.server = postgres.at(self.folder / "postgres", port=free_port(), password=PASSWORD)
            self._stack.callback(postgres.remove, self.server)
            self._stack.callback(postgres.stop, self.server)
            postgres.start(self.server)
            asyncio.run(databases.create(postgres.url(self.server), self._services, password=PASSWORD))
            usual = migrations.SERVICES
            for service in self._services:
                migrations.SERVICES = Path(__file__).parent if service == "measured" else usual
                asyncio.run(migrations.upgrade_all([service], self.database_url("{service}", "owner")))
            migrations.SERVICES = usual
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def database_url(self, service: str, role: str) -> str:
        """The URL of a service's database for the role `app` or `owner`."""
        return f"postgresql+asyncpg://{service}_{role}:{PASSWORD}@127.0.0.1:{self.server.port}/{service}"

    @asynccontextmanager
    async def superuser(self, service: str) -> AsyncGenerator[Any]:
        """A connection to the database of a service that sees every tenant."""
        connect = cast("Callable[..., Any]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
        connection = await connect(postgres.url(self.server, database=service))
        try:
            yield connection
        finally:
            await connection.close()

    async def counts(self, service: str, *counts: str) -> list[int]:
        """The results of `select <count>` in the database of a service."""
        async with self.superuser(service) as connection:
            return [await connection.fetchval(f"select {count}") for count in counts]

    def environment(self, name: str, service: str, **given: str) -> dict[str, str]:
        """The environment of a process, which inherits only PATH. Lines and spans go to files, as in the local stack."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "dev-environment"))),
            "SERVICE_NAME": name,
            "LOG_DIR": str(self.folder / name / "logs"),
            "TRACES_DIR": str(self.folder / name / "traces"),
            "DATABASE__URL": self.database_url(service, "app"),
            "SERVICES__AUTH": self.auth_url,
            "EVENTS__CLIENT_SECRET": SECRET,
            **given,
        }

    @contextmanager
    def serving(self, module: str, *arguments: str, name: str, service: str, **given: str) -> Generator[Process]:
        """Run a server; yields it when it is ready."""
        port = free_port()
        environment = self.environment(name, service, PORT=str(port), **given)
        process = start(name, [module, *arguments], environment, port, self.folder / name, core=self._server_core)
        try:
            process.wait_for("/health/ready")
            yield process
        finally:
            process.stop()
