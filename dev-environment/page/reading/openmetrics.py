"""Pages of /metrics in the OpenMetrics format: their samples, exemplars and families. What is no sample is left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

LABELS = r'(?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*'
SAMPLE = re.compile(
    rf"([a-zA-Z_:][\w:]*)(?:{{({LABELS})}})? (\S+)(?: [\d.e+-]+)?(?: # {{({LABELS})}} (\S+)(?: (\S+))?)?"
)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ESCAPED = re.compile(r"\\(.)")
DESCRIPTION = re.compile(r"(?m)^# (TYPE|HELP|UNIT) (\S+) (.*)")
# What the samples of a family have behind its name, by its type; the first is what the family is called with.
SUFFIXES = {
    "counter": ("_total", "_created"),
    "info": ("_info",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
}
UNITS = ("seconds", "bytes")


class Exemplified(NamedTuple):
    """The exemplar of a sample, without its labels but for the trace."""

    trace_id: str
    value: float
    time: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a family."""

    name: str
    labels: dict[str, str]
    value: float
    exemplar: Exemplified | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with all of its samples at the last scrape."""

    name: str
    """As everything else calls it: that of a counter ends with `_total`."""
    type: str
    unit: str
    help: str
    samples: tuple[Sample, ...]


def samples(page: str, *names: str) -> Iterator[Sample]:
    """The samples whose names begin so; all of them without a name."""
    for line in page.split("\n"):
        if (not names or line.startswith(names)) and (match := SAMPLE.fullmatch(line)):
            name, labels, value, shown, shown_value, shown_time = match.groups()
            try:
                exemplar = _exemplar(shown, shown_value, shown_time) if shown_time else None
                yield Sample(name, _labels(labels or ""), float(value), exemplar)
            except ValueError:  # no number
                continue


def families(page: str) -> list[Family]:
    """The families by name, those without a sample too."""
    described: dict[str, dict[str, str]] = {}
    for what, name, text in DESCRIPTION.findall(page):
        described.setdefault(name, {})[what] = text
    owners = {
        name + suffix: name
        for name, about in described.items()
        for suffix in SUFFIXES.get(about.get("TYPE", ""), ("",))
    }
    found: dict[str, list[Sample]] = {name: [] for name in described}
    for sample in samples(page):
        found.setdefault(owners.get(sample.name, sample.name), []).append(sample)
    return sorted(
        (_family(name, described.get(name, {}), of) for name, of in found.items()), key=lambda each: each.name
    )


def _family(name: str, about: dict[str, str], found: list[Sample]) -> Family:
    kind = about.get("TYPE", "unknown")
    unit = about.get("UNIT") or next((each for each in UNITS if name.endswith(f"_{each}")), "")
    return Family(name + SUFFIXES.get(kind, ("",))[0], kind, unit, _plain(about.get("HELP", "")), tuple(found))


def _exemplar(labels: str, value: str, time: str) -> Exemplified | None:
    trace_id = _labels(labels).get("trace_id")
    return Exemplified(trace_id, float(value), float(time)) if trace_id else None


def _labels(written: str) -> dict[str, str]:
    return {name: _plain(value) for name, value in LABEL.findall(written)}


def _plain(written: str) -> str:
    """A text without its escapes."""
    return ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], written) if "\\" in written else written
