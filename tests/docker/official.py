"""Images that not every machine can pull: tests that need one are skipped with its name, or fail with STRICT=1."""

import subprocess
from collections.abc import Callable

from tests.fixtures.strict import missing


def official(docker: Callable[..., str], reference: str) -> str:
    """Return the reference of an image, which is pulled if this machine lacks it; skip the test if that fails."""
    try:
        docker("image", "inspect", reference)
    except subprocess.CalledProcessError:
        try:
            docker("pull", "--quiet", reference)
        except subprocess.CalledProcessError as error:
            missing(f"NOT RUN, {reference} cannot be pulled here: {error.stderr.strip()}")
    return reference
