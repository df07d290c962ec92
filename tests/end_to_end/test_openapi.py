"""Generated requests against the five OpenAPI documents: no server error and no answer that a document does not name.

A few for each operation in `make test`, the same every time; many, and new ones each time, in `make fuzz`.
"""

import os
from collections.abc import Callable

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import CHECKS
from schemathesis.schemas import BaseSchema

from libs.journey.client import SERVICES, Actor
from libs.journey.story import Told
from tests.end_to_end.stack import Stack

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 0)
# A version that is not the newest (412) or not given (428), a cursor that no list has given (400), a sum with more
# digits than money has: well-formed for a schema, and refused all the same.
# And a 405 of Starlette names the methods of the first route of a path only.
EXCLUDED = CHECKS.get_by_names(["positive_data_acceptance", "allow_header_conformance"])


@pytest.fixture(scope="module")
def fuzzed(open_tenant: Callable[[int], Told]) -> Told:
    """A tenant for generated requests only."""
    return open_tenant(7)


@pytest.fixture(params=SERVICES)
def document(request: pytest.FixtureRequest, stack: Stack) -> BaseSchema:
    """The OpenAPI document of a service."""
    return schemathesis.openapi.from_url(f"{stack.urls[request.param]}/openapi.json")


@pytest.fixture
def sender(document: BaseSchema, stack: Stack, fuzzed: Told, platform: Actor) -> Actor:
    """Who sends the requests: an administrator, of the platform where nobody else may do anything."""
    only_platform = stack.settings is not None and document.title == "tenant-service"
    return platform if only_platform else fuzzed.admin


documents = schemathesis.pytest.from_fixture("document")


@pytest.mark.fuzz
@documents.parametrize()
@settings(
    max_examples=EXAMPLES or 5,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_server_error_and_no_undocumented_answer(case: Case, sender: Actor) -> None:
    case.call_and_validate(headers={"authorization": f"Bearer {sender.fresh_token()}"}, excluded_checks=EXCLUDED)
