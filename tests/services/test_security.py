"""Who may ask without a token is written down here: every other operation says in OpenAPI that it needs one."""

import pytest

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
