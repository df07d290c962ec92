"""The images of the stack: built by compose, and taken to the cluster."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.docker import engine
from stack.kubernetes import cluster, overlay
from stack.kubernetes.cluster import ClusterError
from stack.report import say
from stack.settings import Settings


def build(settings: Settings) -> dict[str, str]:
    """Build the images. Returns the name and tag of each in the cluster, by its name: a tag changes with the content."""
    say("Building the images of the services")
    ours = {name: each["image"] for name, each in engine.model().items() if "build" in each}
    # With an attestation, which holds the time, a build of the same content would be another image.
    engine.compose("build", "--quiet", *ours, environment={"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})
    found = {}
    for image in ours.values():
        name = image.partition(":")[0]
        found[name] = f"{_registry(settings)}{name}:{engine.image_id(image)}"
        engine.tag(image, found[name])
    _file(settings).write_text("".join(f"{each}\n" for each in sorted({*built(settings), *found.values()})))
    return found


def take_there(settings: Settings, built: Mapping[str, str], rendered: str) -> None:
    """Take to the nodes of this machine what it has and they have not; for another cluster, push what was built to REGISTRY."""
    loader = cluster.loader(settings)
    if not loader:
        for each in built.values():
            say(f"Pushing {each}")
            engine.push(each)
        return
    held = cluster.images_on_every_node(settings)
    wanted = sorted({image for image in overlay.images(rendered) if cluster.full_name(image) not in held})
    if here := [image for image in wanted if engine.has_image(image)]:
        say(f"Taking images to the cluster: {', '.join(here)}")
        if subprocess.run([*loader, *here], check=False).returncode:
            raise ClusterError(f"`{' '.join(loader)}` has failed (see above); `make up` tries again.")


def built(settings: Settings) -> list[str]:
    """The images that `make up` has built and tagged since the last `make clean`."""
    file = _file(settings)
    return file.read_text().split() if file.exists() else []


def _file(settings: Settings) -> Path:
    return overlay.folder(settings) / "images"


def _registry(settings: Settings) -> str:
    registry = "" if cluster.loader(settings) else settings.values["REGISTRY"].rstrip("/")
    return f"{registry}/" if registry else ""
