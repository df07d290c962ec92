"""Images that not every machine can get: what needs one is skipped by its name, or fails with STRICT=1."""

import subprocess
from collections.abc import Callable

from tests.fixtures.strict import missing


def official(docker: Callable[..., str], reference: str) -> str:
    """The reference of an image that is here, or could be pulled."""
    try:
        docker("image", "inspect", reference)
    except subprocess.CalledProcessError:
        try:
            docker("pull", "--quiet", reference)
        except subprocess.CalledProcessError as error:
            missing(f"NOT RUN, {reference} cannot be had here: {error.stderr.strip()}")
    return reference
