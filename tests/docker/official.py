"""Images that not every machine can get: what needs one is skipped by its name, or fails with STRICT=1."""

import os
import subprocess
from collections.abc import Callable

import pytest


def official(docker: Callable[..., str], reference: str) -> str:
    """The reference of an image that is here, or could be pulled."""
    try:
        docker("image", "inspect", reference)
    except subprocess.CalledProcessError:
        try:
            docker("pull", "--quiet", reference)
        except subprocess.CalledProcessError as error:
            reason = f"NOT RUN, {reference} cannot be had here: {error.stderr.strip()}"
            if os.environ.get("STRICT") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
    return reference
