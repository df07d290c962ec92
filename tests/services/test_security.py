"""Who may ask without a token is written down here: every other operation says in OpenAPI that it needs one.

Of what is sent without a token, little is read: nothing where one is needed, and a few kilobytes elsewhere.
"""

import re
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from libs.service_kit.events.http import PATH as EVENTS
from libs.service_kit.limits import MAX_ANONYMOUS_BODY_BYTES
from tests.fixtures.app import create
from tests.fixtures.database import SERVICES

WITHOUT_A_TOKEN = {
    "auth": {
        "POST /api/v1/auth/login",
        "POST /api/v1/auth/logout",
        "POST /api/v1/auth/refresh",
        "POST /api/v1/auth/token",
        "POST /api/v1/passwords/resets/use",
        "GET /.well-known/jwks.json",
    }
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_other_operation_says_that_it_needs_a_token(settings_of, service):
    paths = create(settings_of(service)).openapi()["paths"]
    operations = {
        f"{method.upper()} {path}": each for path, methods in paths.items() for method, each in methods.items()
    }
    assert {name for name, each in operations.items() if not each.get("security")} == WITHOUT_A_TOKEN.get(
        service, set()
    )
    assert len(operations) > len(WITHOUT_A_TOKEN.get(service, set()))


async def nobody_reads() -> AsyncIterator[bytes]:
    """A body that must not be read."""
    pytest.fail("the body was read")
    yield b""


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """A body that does not say how large it is."""
    for _ in range(0, size, 1024):
        yield b" " * 1024


@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_reads_a_body_before_it_knows_the_sender(settings_of, service):
    app = create(settings_of(service))
    operations = [(method, path) for path, methods in app.openapi()["paths"].items() for method in methods]
    anonymous = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
    for method, path in (*operations, ("post", EVENTS)):
        headers = {"content-type": "application/json", "content-length": "1000000000"}
        url = re.sub(r"{\w+}", str(UUID(int=0)), path)
        answer = await anonymous.request(method, url, headers=headers, content=nobody_reads())
        is_open = f"{method.upper()} {path}" in WITHOUT_A_TOKEN.get(service, set())
        assert answer.status_code == (413 if is_open else 401), (method, path)
        if is_open and method == "post":
            body = in_pieces(MAX_ANONYMOUS_BODY_BYTES + 1024)
            answer = await anonymous.request(method, path, headers={"content-type": "application/json"}, content=body)
            assert answer.status_code == 413, path
