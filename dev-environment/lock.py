"""Pin what pyproject.toml wants, hashed, in one requirement file for each use: `make lock`."""

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
    """Resolve group after group; what an earlier file pins, a later one repeats and never contradicts."""
    earlier: list[str] = []
    for group, path in GROUPS.items():
        wanted = ["pyproject.toml"] if group == "runtime" else ["--group", group]
        print(f"Pinning {path}", flush=True)
        command = [sys.executable, "-m", "uv", "pip", "compile", *wanted, *earlier, *FLAGS, "-o", path]
        subprocess.run(command, cwd=ROOT, check=True)
        earlier += ["-c", path]


if __name__ == "__main__":
    main()
