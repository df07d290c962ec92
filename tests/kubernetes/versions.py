"""Later versions of the budget service: one that adds a column, and one that removes it again."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.docker import engine
from stack.kubernetes import cluster, overlay
from stack.settings import ROOT, Settings

from libs.service_kit.migrations import newest
from tests.fixtures.waiting import eventually

BUDGET, PREPARE = "all-erp/budget", "all-erp/prepare"
MODEL = Path("services/budget/expenditures/models.py")
FOLDER = Path("services/budget/migrations/versions")
WRITTEN = "of the new version"
COLUMN = f"""
    memo: Mapped[str] = mapped_column(default="{WRITTEN}", server_default=text("''"))
"""
ADDS = """
from alembic import op
from sqlalchemy import Column, Text

revision, down_revision = "{own}", "{before}"


def upgrade() -> None:
    op.add_column("expenditures", Column("memo", Text, nullable=False, server_default=""))
"""
REMOVES = """
from alembic import op

revision, down_revision = "{own}", "{before}"


def upgrade() -> None:
    op.drop_column("expenditures", "memo")
"""


def adding() -> dict[Path, str]:
    """The files of the version that adds a column, writes it and reads it: the class of the model is its file's last."""
    return {**_migrations(ADDS), MODEL: (ROOT / MODEL).read_text() + COLUMN}


def removing() -> dict[Path, str]:
    """The files of a later one, which knows nothing of the column and removes it."""
    return _migrations(ADDS, REMOVES)


def _migrations(*texts: str) -> dict[Path, str]:
    last = int(newest("budget"))
    numbered = enumerate(texts, last + 1)
    return {
        FOLDER / f"{number:04}_memo.py": text.format(own=f"{number:04}", before=f"{number - 1:04}")
        for number, text in numbered
    }


def build(settings: Settings, name: str, files: Mapping[Path, str], folder: Path) -> dict[str, str]:
    """Build the images of a version and take them to the cluster; the image of each by the name of today's."""
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    built: dict[str, str] = {}
    for image in overlay.images(overlay.render(settings)):
        if image.startswith((f"{BUDGET}:", f"{PREPARE}:")):
            (folder / "Dockerfile").write_text(f"FROM {image}\nCOPY --chmod=755 services services\n")
            built[image.partition(":")[0]] = f"{image}-{name}"
            subprocess.run(["docker", "build", "--quiet", f"--tag={image}-{name}", str(folder)], check=True)
    subprocess.run([*cluster.loader(settings), *built.values()], check=True)
    return built


def migrate(settings: Settings, image: str) -> None:
    """Migrate by a version's own Job, as `make up` does before it applies the services."""
    jobs = [each for each in overlay.objects(overlay.render(settings)) if each["kind"] == "Job"]
    (job,) = (each for each in jobs if each["spec"]["template"]["metadata"]["labels"][cluster.NAME] == "prepare")
    name = f"prepare-{image.rpartition('-')[2]}"
    job["metadata"]["name"] = name
    job["spec"]["template"]["spec"]["containers"][0]["image"] = image
    cluster.apply(settings, json.dumps(job))
    eventually(lambda: name not in cluster.unfinished(settings, "jobs"), 120, f"{name} does not end")


def remove(images: Mapping[str, str]) -> None:
    """Remove the images of a version from this machine."""
    engine.remove_images(images.values())
