"""Install groups of pinned packages into .venv: `python3 dev-environment/install.py runtime local`.

It uses the standard library only, and nothing newer than Python 3.6, so that an old Python can say that it is too old. A
group whose requirement file has not changed since it was installed costs nothing and needs no network.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn, Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
GROUPS = {
    "runtime": "services/requirements.txt",
    "local": "dev-environment/stack/requirements.txt",
    "test": "tests/requirements.txt",
    "lint": "dev-environment/requirements.txt",
    "load": "dev-environment/load/requirements.txt",
    "bench": "dev-environment/bench/requirements.txt",
}
OLDEST, NEWEST = (3, 11), (3, 14)
VERSION = ".".join(str(number) for number in sys.version_info[:2])

# What pip prints, and what to do about it. The order matters: without a network pip prints "No matching distribution"
# too.
CURES = [
    (r"Temporary failure in name resolution|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|Retrying \(",
     "The package index cannot be reached. Check the network (or pip's settings: `pip config list`), then run the "
     "same command again: it continues where it stopped."),
    (r"No space left on device", "The disk is full: about 500 MB are needed. Make room and run the same command again."),
    (r"DO NOT MATCH THE HASHES",
     "The package index serves another file than the one pinned. Nothing was installed from it. If a mirror is "
     "configured, refresh it; if the pins were edited by hand, run `make lock`."),
    (r"No matching distribution found for (\S+)",
     "{} has no ready-made wheel for this platform. Wheels exist for Linux with glibc (x86_64, aarch64) and for "
     "macOS on arm64, with Python 3.11 to 3.14; not for Alpine or Intel Macs (and locust wants Python 3.12 on a "
     "Mac)."),
]  # fmt: skip


def main(groups: Sequence[str]) -> int:
    """Make .venv ready for `groups`; returns the exit code."""
    check_python()
    (ROOT / ".local").mkdir(exist_ok=True)
    with open(ROOT / ".local" / "install.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two terminals may start at the same time
        create_environment()
        missing = [group for group in groups if stamp(group) != wanted_stamp(group)]
        if missing:
            install(missing)
    return 0


def check_python() -> None:
    """End with a message if this Python cannot run the project."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        fail(
            f"Python 3.11 to 3.14 is needed, and {sys.executable} is {VERSION}. If you have another one, name it: "
            "`make PYTHON=python3.13 ...`"
        )
    if not (importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv")):  # Debian leaves them out
        fail("This Python cannot create virtual environments. On Debian and Ubuntu: `apt install python3-venv`.")


def create_environment() -> None:
    """Create .venv if it is missing, unfinished, moved or made by another version of Python."""
    mark, mine = VENV / ".created", f"{VENV.resolve()} {VERSION}"
    if mark.exists() and mark.read_text() == mine and PYTHON.exists():
        return
    say(f"Creating .venv with Python {VERSION}")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)  # fmt: skip
    if done.returncode:
        fail(done.stdout.decode(errors="replace") + "\nThe virtual environment could not be created (see above).")
    mark.write_text(mine)


def install(groups: Sequence[str]) -> None:
    """Install the pinned packages of `groups` by one call of pip, then record that they are installed."""
    pins = {pin for group in groups for pin in re.findall(r"(?m)^[a-z0-9][^ \\]*", (ROOT / GROUPS[group]).read_text())}
    say(f"Installing {len(pins)} packages for {' and '.join(groups)} (once; about a minute)")
    # The files already hold every package, pinned and hashed; without --no-deps pip would resolve them again.
    options = ["--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    files = [part for group in groups for part in ("-r", str(ROOT / GROUPS[group]))]
    command = [str(PYTHON), "-m", "pip", "install", *options, *files]
    output, seen = [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            output.append(line.decode(errors="replace"))
            if output[-1].startswith(("Collecting ", "Requirement already")):
                seen += 1
                progress(f"  {min(seen, len(pins))} of {len(pins)} packages")
            elif output[-1].startswith("Installing collected"):
                progress("  unpacking them")
    progress("")
    if pip.returncode:
        explain("".join(output))
    for group in groups:
        stamp_file(group).write_text(wanted_stamp(group))


def explain(output: str) -> NoReturn:
    """End with the errors that pip printed and the cure for them."""
    errors = [line for line in output.splitlines() if re.match(r"\s*(ERROR|WARNING: Retrying|\S*Error)", line)]
    for pattern, cure in CURES:
        found = re.search(pattern, output)
        if found:
            fail("\n".join([*errors[-4:], cure.format(*found.groups())]))
    fail("\n".join([*(errors or output.splitlines())[-12:], "pip could not install the packages (see above)."]))


def stamp_file(group: str) -> Path:
    """The file that records which content of the group's requirement file is installed."""
    return VENV / f".{group}"


def stamp(group: str) -> str:
    """The digest of the requirement file that is installed; empty if none is."""
    with contextlib.suppress(FileNotFoundError):
        return stamp_file(group).read_text()
    return ""


def wanted_stamp(group: str) -> str:
    """The digest of the requirement file as it is now. A checkout changes the times of files, but not this."""
    return hashlib.sha256((ROOT / GROUPS[group]).read_bytes()).hexdigest()


def say(message: str) -> None:
    """Print one line of progress."""
    print(message, file=sys.stderr, flush=True)


def progress(message: str) -> None:
    """Show how far a long step has come, on a terminal only, in one line that overwrites itself."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        print("\r\033[K" + message, end="", file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """End with a message for a person."""
    sys.exit("\n" + message)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it continues where it stopped.")
