"""Generated requests against the five OpenAPI documents: no server error and no answer that a document does not name.

A few for each operation in `make test`, the same every time; many, and new ones each time, in `make fuzz`.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.contracts.services import PORTS
from libs.journey.client import Actor
from libs.journey.story import Told
from tests.end_to_end.stack import Stack

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 0)
SEED = "1"
EXCLUDED = (
    # A version that is not the newest (412) or is not given (428), a cursor that no list has given (400): well-formed
    # for a schema, and refused all the same.
    "positive_data_acceptance",
    # A 405 of Starlette names the methods of the first route of a path only.
    "allow_header_conformance",
)


@pytest.fixture(scope="module")
def fuzzed(open_tenant: Callable[[int], Told]) -> Told:
    """A tenant for generated requests only."""
    return open_tenant(7)


@pytest.mark.fuzz
@pytest.mark.parametrize("service", PORTS)
def test_no_server_error_and_no_undocumented_answer(
    service: str, stack: Stack, fuzzed: Told, platform: Actor, tmp_path: Path
) -> None:
    # Nobody but the platform's people may do anything with tenants. Where the stack is somebody else's, they do not.
    sender = platform if service == "tenant" and stack.settings else fuzzed.admin
    # An update without If-Match is answered 428 (RFC 6585), which schemathesis does not expect of a missing header.
    statuses = "[400, 401, 403, 406, 415, 422, 428]"
    (tmp_path / "schemathesis.toml").write_text(f"[checks.missing_required_header]\nexpected-statuses = {statuses}\n")
    new_each_time = ["--generation-database", "none"]
    same_every_time = ["--generation-deterministic", "--seed", SEED]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{stack.urls[service]}/openapi.json"),
            *("--header", f"Authorization: Bearer {sender.fresh_token()}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES or 20)),
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
