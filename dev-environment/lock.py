"""Resolve pyproject.toml into pinned and hashed requirement files, one for each group: `make lock`."""

import subprocess
import sys

from install import GROUPS, ROOT

FLAGS = (
    "--universal",
    "--generate-hashes",
    "--no-emit-index-url",
    "--custom-compile-command",
    "make lock",
    "--python-version",
    "3.11",
    "--quiet",
)


def main() -> None:
    """Resolve one group after the other; a package that several files pin has the same version in all of them."""
    earlier: list[str] = []
    for group, path in GROUPS.items():
        wanted = ["pyproject.toml"] if group == "runtime" else ["--group", group]
        print(f"Pinning {path}", flush=True)
        command = [sys.executable, "-m", "uv", "pip", "compile", *wanted, *earlier, *FLAGS, "-o", path]
        subprocess.run(command, cwd=ROOT, check=True)
        earlier += ["-c", path]


if __name__ == "__main__":
    main()
