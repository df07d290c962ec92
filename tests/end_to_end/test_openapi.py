"""Generated requests get no server error, and no answer that the OpenAPI document of the service does not name.

`make test` sends a few for each operation, the same every time; `make fuzz` sends many, and new ones every time.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from libs.journey.story import Tenant
from libs.services import PORTS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 0)
SEED = "1"
EXCLUDED = (
    # Some requests fit the schema and are refused all the same: with an old version (412), without a version (428),
    # with a cursor that no list has returned (400).
    "positive_data_acceptance",
    # In a 405, Starlette names only the methods of the first route of the path.
    "allow_header_conformance",
)


@pytest.fixture(scope="module")
def fuzzed(open_tenant: Callable[[int], Tenant]) -> Tenant:
    """A tenant for generated requests only."""
    return open_tenant(7)


@pytest.mark.fuzz
@pytest.mark.parametrize("service", PORTS)
def test_no_server_error_and_no_undocumented_answer(service, stack, fuzzed, platform, tmp_path):
    # Only the platform's administrator may change tenants; on a stack that the tests did not start, it stays out.
    sender = platform if service == "tenant" and stack.settings else fuzzed.admin
    # schemathesis expects neither 428 (RFC 6585) of an update without If-Match nor 414 of a URL of many bytes, and forgets
    # what it does expect where something is added.
    statuses = "[400, 401, 403, 406, 415, 422, 428]"
    checks = {
        "missing_required_header": statuses,
        "negative_data_rejection": f'{statuses[:-1]}, 404, 405, 409, 414, 429, "5xx"]',
    }
    (tmp_path / "schemathesis.toml").write_text(
        "".join(f"[checks.{check}]\nexpected-statuses = {expected}\n" for check, expected in checks.items())
    )
    new_each_time = ["--generation-database", "none"]
    same_every_time = ["--generation-deterministic", "--seed", SEED]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{stack.urls[service]}/openapi.json"),
            *("--header", f"Authorization: Bearer {sender.fresh_token()}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES or 5)),
            *("--exclude-checks", ",".join(EXCLUDED), "--continue-on-failure", "--request-timeout", "10"),
            *("--warnings", "off", "--no-color"),
            *(new_each_time if EXAMPLES else same_every_time),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
