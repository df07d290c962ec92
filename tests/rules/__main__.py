"""The unit tests of Prometheus's rules notice every change of a rule: its numbers, windows, clauses and labels.

Each rule is changed in one place at a time (`mutants.py`), and promtool runs the cases that name it: those of
tests/X*_test.yml for a rule of rules/X.yml. A variant that they accept survives: it must be listed in survivors.yml, with
the reason. Arguments: the names of the rules to change, all by default.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.configs.promql import used
from tests.fixtures.yaml_files import load
from tests.rules import promtool
from tests.rules.mutants import mutants

FOLDER = Path(__file__).parents[2] / "dev-environment/prometheus"
FILES = {file.stem: load(file)["groups"] for file in sorted((FOLDER / "rules").glob("*.yml"))}
TESTS = {stem: [load(file) for file in sorted((FOLDER / "tests").glob(f"{stem}*_test.yml"))] for stem in FILES}
SURVIVORS = load(Path(__file__).parent / "survivors.yml")


class Mutant(NamedTuple):
    """A rule of rules/<stem>.yml, what is wrong in it (nothing in the rule itself), and the result."""

    stem: str
    rule: dict[str, Any]
    change: str
    changed: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        slo = self.rule.get("labels", {}).get("slo") if "record" in self.rule else None
        return (f"{name_of(self.rule)} {slo}" if slo else name_of(self.rule), self.change)


def name_of(rule: dict[str, Any]) -> str:
    return rule.get("alert") or rule["record"]


RULES = [(stem, rule) for stem, groups in FILES.items() for group in groups for rule in group["rules"]]
READS: dict[str, set[str]] = {}
for _, each in RULES:
    READS[name_of(each)] = READS.get(name_of(each), set()) | used(each["expr"])


def needed(names: set[str], given: set[str]) -> set[str]:
    """The rules among these names, and all rules that they depend on and whose series are not given."""
    found = names & READS.keys()
    more = found.union(*(READS[name] - given for name in found)) & READS.keys()
    return found if more == found else needed(more, given)


def cases(test: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The cases of a test file that name a rule, with nothing else in them."""
    chosen = []
    for case in test["tests"]:
        alerts = [each for each in case.get("alert_rule_test", []) if each["alertname"] == name]
        exprs = [each for each in case.get("promql_expr_test", []) if name in used(each["expr"])]
        if alerts or exprs:
            chosen.append({**case, "alert_rule_test": alerts, "promql_expr_test": exprs})
    return chosen


def given(case: dict[str, Any]) -> set[str]:
    return set().union(*(used(series["series"]) for series in case.get("input_series", [])))


def write(folder: Path, number: int, mutant: Mutant) -> list[str]:
    """Write the test files for a mutant, each with one case and the rules that it needs; return their names."""
    files = []
    for test in TESTS[mutant.stem]:
        for case in cases(test, name_of(mutant.rule)):
            names = needed({name_of(mutant.rule)}, given(case))
            groups = [
                {**group, "rules": rules}
                for those in FILES.values()
                for group in those
                if (rules := [mutant.changed if r is mutant.rule else r for r in group["rules"] if name_of(r) in names])
            ]
            order = sorted((group["name"] for group in groups), key=test["group_eval_order"].index)
            stem = f"{number}-{len(files)}"
            dump(folder / f"{stem}-rules.yml", {"groups": groups})
            alone = {"rule_files": [f"{stem}-rules.yml"], "group_eval_order": order, "tests": [case]}
            dump(folder / f"{stem}.yml", {**test, **alone})
            files.append(f"{stem}.yml")
    return files


def dump(file: Path, content: dict[str, Any]) -> None:
    file.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False))


def main(only: list[str]) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shell = promtool.command(folder)
        if shell is None:
            print("NOT RUN: there is neither promtool 3 nor the image of Prometheus here, so no rule was changed")
            return int(os.environ.get("STRICT", "") not in ("", "0"))
        return judge(folder, shell, [(stem, rule) for stem, rule in RULES if not only or name_of(rule) in only])


def judge(folder: Path, shell: list[str], rules: list[tuple[str, dict[str, Any]]]) -> int:
    """Run all mutants, print what has survived, and return 1 if the list of survivors is not exactly that."""
    made = [
        Mutant(stem, rule, change, changed)
        for stem, rule in rules
        for change, changed in [("as it is", rule), *mutants(rule)]
    ]
    files = [write(folder, number, mutant) for number, mutant in enumerate(made)]
    said = promtool.verdicts(shell, folder, [file for those in files for file in those])

    broken, survivors, invalid = [], set(), 0
    for mutant, those in zip(made, files, strict=True):
        failures = [said[file] for file in those if said[file]]
        if mutant.changed is mutant.rule:
            broken += [f"{mutant.key[0]}: {failure}" for failure in failures]
        elif not failures:
            survivors.add(mutant.key)
        else:
            invalid += any("could not parse expression" in failure for failure in failures)

    names = {mutant.key[0] for mutant in made}
    listed = {
        (rule, change) for each in SURVIVORS for rule in each["rules"] for change in each["changes"] if rule in names
    }
    total = len(made) - len(rules)
    print(
        f"{total} mutants of {len(rules)} rules: {total - len(survivors) - invalid} killed, {invalid} invalid, "
        f"{len(survivors)} survive, {len(survivors & listed)} of them listed with a reason"
    )
    for title, found in (
        ("Its tests fail without any change", broken),
        ("Survives, and is not listed", [f"{rule}: {change}" for rule, change in sorted(survivors - listed)]),
        ("Is listed, and does not survive", [f"{rule}: {change}" for rule, change in sorted(listed - survivors)]),
    ):
        for each in found:
            print(f"{title}: {each}")
    return int(bool(broken) or survivors != listed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
