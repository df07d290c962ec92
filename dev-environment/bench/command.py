"""The common part of the benches' command lines."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stack import environment
from stack.postgres import PostgresError

from bench.client import LoadError
from bench.processes import StartError


class BenchError(Exception):
    """The run cannot continue, or something was lost; the message says what."""


def run(given: argparse.Namespace, name: str, measure: Callable[[Path], Any], table: Callable[[Any], str]) -> int:
    """Measure in a temporary folder and print the result; returns the exit code. `given` has `json` and `keep`."""
    # They are about other servers, or proxies, which no bench goes through.
    for variable in os.environ.keys() - environment.from_shell().keys():
        del os.environ[variable]
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        measured = measure(folder)
        print(json.dumps(measured, indent=2) if given.json else table(measured))
        return 0
    except (BenchError, LoadError, PostgresError, StartError) as error:
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted.")
        return 130
    finally:
        if given.keep:
            say(f"logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def say(text: str) -> None:
    """Report progress on standard error."""
    print(text, file=sys.stderr, flush=True)
