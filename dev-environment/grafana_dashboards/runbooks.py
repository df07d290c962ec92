"""Runbooks: each Markdown file of `dev-environment/runbooks` as a page of Grafana, which the link in an alert's mail opens."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from grafana_dashboards.board import RUNBOOK, board, chosen, constant, jaeger
from grafana_dashboards.links import SAME_JOB, here, on_top, path
from grafana_dashboards.panels import page

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dev-environment/runbooks"
# Dashboards on which any job of an alert can be chosen, and how. Elsewhere `job` means another set of jobs.
TAKES_JOB = {**dict.fromkeys(("service", "slo", "telemetry"), SAME_JOB), "log-lines": "var-service=${job}"}
# A dollar sign before a name that Grafana fills in, in a text as well: the variable `dollar` takes its place.
FILLED_IN = re.compile(r"\$(?=\{?(?:__|(?:job|datasource|dollar|jaeger)\b))")
# Code first, in which nothing is a link: fenced, or in line.
MARKUP = re.compile(
    r"(?P<code>^ *```.*?^ *```|`[^`]+`)"
    r"|(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)"
    r"|(?<![*\w])\*(?P<title>\S[^*]*)\*(?![*\w])",
    re.MULTILINE | re.DOTALL,
)


def uid(name: str) -> str:
    """The uid of a runbook, by the name of its file without `.md`. It is part of the links in mails."""
    return f"{RUNBOOK}-{name}"


def names() -> dict[str, str]:
    """The runbooks by their headings, which are the names of alerts."""
    return {_title(file): file.stem for file in sorted(FOLDER.glob("*.md"))}


def build(name: str, boards: Mapping[str, str]) -> str:
    """The JSON of a runbook's page. `boards` has the uid of each dashboard by its title."""
    file = FOLDER / f"{name}.md"
    text = file.read_text()
    return board(
        uid(name),
        _title(file),
        "What to do when this alert fires.",
        [("", [page("What to do", in_grafana(text, boards), height=6 + len(text.splitlines()))])],
        variables=[
            chosen("job", "Links lead to", "label_values(up, job)", everything=None, first="auth-service"),
            constant("dollar", "$"),
            jaeger(),
        ],
        links=[here("service", "Service"), *on_top("${job}")],
        tag=RUNBOOK,
        one_job=True,
    )


def in_grafana(text: str, boards: Mapping[str, str]) -> str:
    """The Markdown of a runbook with links that open in Grafana: to runbooks and to the dashboards that are set in italics. Other
    files are not there to be opened; their paths are given instead."""

    def rewritten(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        if title := found["title"]:
            named = boards.get(" ".join(title.split()))
            return f"[*{title}*]({path(named, TAKES_JOB.get(named, ''))})" if named else found[0]
        label, target = found["text"], found["target"]
        if re.match(r"[a-z]+:|[/#]", target):
            return found[0]
        file = (FOLDER / target.partition("#")[0]).resolve()
        if file.parent == FOLDER and file.suffix == ".md":
            return f"[{label}]({path(uid(file.stem), SAME_JOB)})"
        shown = f"`{os.path.relpath(file, ROOT)}`"
        return shown if label == file.name else f"{label} ({shown})"

    return MARKUP.sub(rewritten, FILLED_IN.sub("${dollar}", text))


def _title(file: Path) -> str:
    heading = re.search(r"^# +(.+?) *$", file.read_text(), re.MULTILINE)
    return heading[1] if heading else file.stem
