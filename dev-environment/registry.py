"""Read `libs/telemetry.yml`, and write its tables for readers to `libs/TELEMETRY.md`: `make registry`."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY

from libs.contracts import EVENTS
from libs.services import SERVICES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "libs/TELEMETRY.md"
LINES = ("request", "message", "event", "other")
"""The kinds of line."""

HEAD = """# What the services emit

`make registry` writes this page from [telemetry.yml](telemetry.yml), which `make test` compares with what a stack emits: nothing
is emitted that is not named here, and nothing is named that is not emitted.

*Whose* says who has made a name: `opentelemetry` by its semantic conventions, a library, or we. *Where* is `docker` for what only
a stack with RabbitMQ emits, `linux` for what macOS lacks, and `probe` for what only the synthetic user emits.
"""
SECTIONS = {
    "resource": ("Resource", "Attributes of the process, which all of its spans have."),
    "attributes": ("Attributes of spans", "By kind of span; `exception` is the span event."),
    "facts": (
        "Facts of refusals",
        "A request that is refused says more of it: `error.facts.<name>` on its line and, as text, `problem.<name>` on its span.",
    ),
    "scopes": ("Scopes of spans", "What makes the spans; by the version of the semantic conventions that it keeps to."),
    "span_events": ("Events of spans", "By kind of span."),
    "links": ("Links of spans", "By kind of span."),
    "fields": (
        "Fields of lines",
        "By kind of line: *request*, the access line; *message*, an event handled or failed; *event*, a committed fact of"
        " the business, with the fields of its event; *other*, everything else.",
    ),
    "metrics": ("Metrics", "All services have them where no service is named. Prometheus adds `job` and `instance`."),
    "events": ("Events of the business", "On the bus, by CloudEvents 1.0; by the service that publishes them."),
}
COLUMNS = ("of", "type", "unit", "labels", "whose", "where", "brief")


@dataclass(frozen=True)
class Entry:
    """One name: in which section, whose it is, and what is said of it."""

    section: str
    whose: str
    name: str
    brief: str
    type: str = ""
    of: tuple[str, ...] = ()
    """Kinds of span, kinds of line, or services."""
    unit: str = ""
    labels: tuple[str, ...] = ()
    where: str = ""
    """Where it is emitted if not everywhere: `docker`, a stack with RabbitMQ; `linux`; or `probe`, the synthetic user."""


@cache
def entries() -> tuple[Entry, ...]:
    """Everything that is registered."""
    document = yaml.safe_load((ROOT / "libs/telemetry.yml").read_text())
    declared = _declared()
    return tuple(
        entry
        for section, owners in document.items()
        for whose, names in owners.items()
        for name, given in names.items()
        for entry in _entries(section, whose, name, given, declared)
    )


def _entries(section: str, whose: str, name: str, given: dict[str, str], declared: dict[str, str]) -> Iterator[Entry]:
    """The name, and the name again if more kinds of span have it where there is a broker."""
    of = tuple(given.get("of", "every").split())
    typed = {"type": "string"} if section in ("resource", "attributes", "facts", "fields") else {}
    more: dict[str, Any] = typed | given | {"labels": tuple(given.get("labels", "").split())}
    more |= {"of": _everywhere(section) if of == ("every",) else of, "brief": given.get("brief") or declared[name]}
    with_broker = tuple(more.pop("of_docker", "").split())
    entry = Entry(section, whose, name, **more)
    yield entry
    if with_broker:
        yield replace(entry, of=with_broker, where="docker")


def _everywhere(section: str) -> tuple[str, ...]:
    return {"fields": LINES, "metrics": tuple(service.name for service in SERVICES)}.get(section, ())


def _declared() -> dict[str, str]:
    """What is said of metrics and events where they are declared."""
    for module in ("libs.journey.probe", "libs.service_kit.app", "libs.service_kit.events.rabbitmq"):
        importlib.import_module(module)
    for service in SERVICES:
        importlib.import_module(f"services.{service.name}.metrics")
    helps = {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, ""): family.documentation
        for family in REGISTRY.collect()
    }
    return helps | {name: (event.__doc__ or "").strip() for name, event in EVENTS.items()}


def page() -> str:
    """The page for readers."""
    return "\n".join([HEAD, *(line for section in SECTIONS for line in _table(section))])


def _table(section: str) -> Iterator[str]:
    title, introduction = SECTIONS[section]
    rows = [_cells(entry) for entry in entries() if entry.section == section]
    shown = [column for column in COLUMNS if any(row[column] not in ("", "ours") for row in rows)]
    names = {
        "of": "by" if section == "events" else "of",
        "type": "version" if section == "scopes" else "type",
        "brief": "",
    }
    yield f"## {title}\n\n{introduction}\n"
    yield f"| name | {' | '.join(names.get(column, column) for column in shown)} |"
    yield "| --- " * (len(shown) + 1) + "|"
    for row in rows:
        yield f"| `{row['name']}` | {' | '.join(row[column] for column in shown)} |"
    yield ""


def _cells(entry: Entry) -> dict[str, str]:
    return vars(entry) | {
        "of": "" if entry.of == _everywhere(entry.section) else ", ".join(entry.of),
        "labels": ", ".join(f"`{label}`" for label in entry.labels),
    }


if __name__ == "__main__":
    PAGE.write_text(page())
