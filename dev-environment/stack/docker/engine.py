"""Docker, as the stack uses it: whether an engine answers, and docker compose with the two files."""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stack.errors import StackError
from stack.settings import ROOT

FILES = ("docker-compose.dev.yml", "docker-compose.devops.yml")
# Also used where some service runs more than once: it puts HAProxy at the services' ports.
FRONT = "dev-environment/haproxy/compose.yml"
# How many there are of each service, by its name, where some service runs more than once; else nothing.
Replicas = Mapping[str, int]
ONE_OF_EACH: Replicas = {}
# The first ones that know `start_interval` of a health check.
LEAST_ENGINE, LEAST_COMPOSE = (25, 0), (2, 20)

# Containers behind a profile are the stack's too; which of them are started, `up` says.
EVERYTHING = {"COMPOSE_PROFILES": "*"}


class EngineError(StackError):
    """Docker could not do what was asked for; the message says why and what to do."""


@functools.cache
def why_unavailable() -> str:
    """The reason why the stack cannot run in containers here; empty where it can."""
    if not shutil.which("docker"):
        return "Docker is not installed"
    engine = _output("docker", "version", "--format", "{{.Server.Version}}")
    if engine.returncode:
        if "permission denied" in engine.stderr:
            return f"this user may not use the Docker Engine: {engine.stderr.strip().splitlines()[-1]}"
        return "no Docker Engine answers"
    compose = _output("docker", "compose", "version", "--short")
    if compose.returncode:
        return "docker has no compose plugin"
    for what, found, least in (("Engine", engine.stdout, LEAST_ENGINE), ("compose", compose.stdout, LEAST_COMPOSE)):
        if _version(found) < least:
            return f"Docker {what} is {found.strip()}, and {'.'.join(map(str, least))} or later is needed"
    return ""


def compose(*arguments: str, environment: Mapping[str, str] | None = None, replicas: Replicas = ONE_OF_EACH) -> None:
    """Run docker compose on the terminal; `EngineError` if it fails."""
    call = command(*arguments, replicas=replicas)
    given = os.environ | EVERYTHING | _variables(replicas) | dict(environment or {})
    if subprocess.run(call, cwd=ROOT, env=given, check=False).returncode:
        raise EngineError(
            f"`{' '.join(call)}` failed (see above). `make logs SERVICE=<container>` shows the output of a "
            "container, `make doctor` what may be wrong with this machine."
        )


def answer(*arguments: str, replicas: Replicas = ONE_OF_EACH) -> str:
    """What docker compose prints; `EngineError` with its own message if it fails."""
    done = _output(*command(*arguments, replicas=replicas), **_variables(replicas))
    if done.returncode:
        raise EngineError(done.stderr.strip())
    return done.stdout


def model(replicas: Replicas = ONE_OF_EACH) -> dict[str, Any]:
    """The services of both files, by name, as compose resolves them; with `replicas` HAProxy too."""
    if replicas:
        return json.loads(answer("config", "--format", "json", replicas=replicas))["services"]
    return project()["services"]


@functools.cache
def project() -> dict[str, Any]:
    """Both files together, as compose resolves them."""
    return json.loads(answer("config", "--format", "json"))


def lines(*arguments: str) -> Iterator[str]:
    """What docker compose prints, line by line, for as long as it runs."""
    with subprocess.Popen(
        command(*arguments), cwd=ROOT, env=os.environ | EVERYTHING, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            assert process.stdout is not None
            yield from process.stdout
        finally:
            process.terminate()


def running() -> set[str]:
    """The containers that run; none where Docker is unavailable."""
    if why_unavailable():
        return set()
    with contextlib.suppress(EngineError):
        return {each["Service"] for each in containers() if each["State"] == "running"}
    return set()


def containers() -> list[dict[str, Any]]:
    """All containers of the stack, running or not, with `Service`, `State` and `Health`."""
    return [json.loads(line) for line in answer("ps", "--all", "--format", "json").splitlines()]


def other_checkouts() -> list[str]:
    """The other folders from which containers of this project were started, as compose's labels have them.

    One that has been removed is none: nobody could stop its containers there.
    """
    label = re.compile(r"com\.docker\.compose\.project\.working_dir=([^,]*)")
    folders = {folder for each in containers() for folder in label.findall(each["Labels"])}
    return sorted(folder for folder in folders if Path(folder).resolve() != ROOT and not _is_gone(Path(folder)))


def has_data() -> bool:
    """Whether the engine holds volumes of this project, whichever checkout has made them."""
    ours = f"label=com.docker.compose.project={project()['name']}"
    return bool(_output("docker", "volume", "ls", "--quiet", "--filter", ours).stdout)


def volume_has(volume: str, file: str, image: str) -> bool:
    """Whether a volume of compose has a file at its top, as a container of `image` sees it; False where there is neither."""
    name = project()["volumes"][volume]["name"]
    if _output("docker", "volume", "inspect", name).returncode or not has_image(image):
        return False
    look = ("run", "--rm", "--network", "none", "--volume", f"{name}:/volume:ro", "--entrypoint", "ls", image)
    return not _output("docker", *look, f"/volume/{file}").returncode


def info() -> dict[str, Any]:
    """What the engine knows about its machine: `MemTotal` in bytes, `DockerRootDir`, `OperatingSystem`."""
    return json.loads(_output("docker", "info", "--format", "{{json .}}").stdout)


def has_image(reference: str) -> bool:
    """Whether an image is on this machine already."""
    return not _output("docker", "image", "inspect", reference).returncode


def image_id(reference: str) -> str:
    """The first digits of what identifies the content of an image of this machine."""
    found = _output("docker", "image", "inspect", "--format", "{{.Id}}", reference)
    return found.stdout.partition(":")[2][:12]


def tag(reference: str, another: str) -> None:
    """Give an image of this machine another name."""
    if (done := _output("docker", "image", "tag", reference, another)).returncode:
        raise EngineError(done.stderr.strip())


def push(reference: str) -> None:
    """Push an image, on the terminal."""
    if subprocess.run(["docker", "push", "--quiet", reference], check=False).returncode:
        raise EngineError(f"{reference} could not be pushed (see above): `docker login` may be missing.")


def remove_images(references: Iterable[str]) -> None:
    """Remove those images that are on this machine; `EngineError` if one is still in use."""
    here = [each for each in references if has_image(each)]
    if here and (done := _output("docker", "image", "rm", *here)).returncode:
        raise EngineError(done.stderr.strip())


def command(*arguments: str, replicas: Replicas = ONE_OF_EACH) -> list[str]:
    """A command of docker compose with the two files, and with that of HAProxy where it is needed."""
    files = (*FILES, FRONT) if replicas else FILES
    return ["docker", "compose", *(part for file in files for part in ("--file", file)), *arguments]


def _variables(replicas: Replicas) -> dict[str, str]:
    return {f"{name.removesuffix('-service').upper()}_REPLICAS": str(number) for name, number in replicas.items()}


def _is_gone(folder: Path) -> bool:
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # somebody else's, which may not be seen
        return False
    return False


def _output(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = os.environ | EVERYTHING | environment
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)


def _version(printed: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", printed)[:2])
