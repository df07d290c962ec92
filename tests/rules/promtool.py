"""Runs promtool on many test files at once: the one on the PATH if it is new enough, else that of Prometheus's image."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.docker.images import image

# Ranges exclude their oldest moment since 3.0.
OLDEST = 3
AT_ONCE = 5


def command(folder: Path) -> list[str] | None:
    """What runs a shell command in a folder where promtool can be had; None if this machine has none."""
    if shutil.which("promtool"):
        version = subprocess.run(["promtool", "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"version (\d+)\.", version)
        if found and int(found[1]) >= OLDEST:
            return ["sh", "-c"]
    reference = image("prometheus")
    if shutil.which("docker") and not run(["docker", "image", "inspect", reference]).returncode:
        mount = ["-v", f"{folder}:{folder}", "-w", str(folder), "--user", f"{os.getuid()}:{os.getgid()}"]
        return ["docker", "run", "--rm", *mount, "--entrypoint", "sh", reference, "-c"]
    return None


def run(arguments: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)


def verdicts(shell: list[str], folder: Path, files: list[str]) -> dict[str, str]:
    """What promtool says of each test file: empty if it passes.

    A process takes five files, so that its start does not count, and as many processes run as there are cores.
    """
    batches = [files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE)]
    (folder / "batches").write_text("".join(f"{number} {' '.join(batch)}\n" for number, batch in enumerate(batches)))
    script = 'n=$1; shift; promtool test rules "$@" >$n.out 2>&1; true'
    run([*shell, f"xargs -r -P {os.cpu_count()} -L 1 sh -c '{script}' promtool <batches"], folder)
    said: dict[str, str] = {}
    for number, batch in enumerate(batches):
        # Standard error and output together have one verdict a file, in order.
        verdicts = re.split(r"(?m)^  (?:SUCCESS|FAILED:)$", (folder / f"{number}.out").read_text())[1:]
        said |= {file: verdict.strip() for file, verdict in zip(batch, verdicts, strict=True)}
    return said
