"""The requirement files pin what pyproject.toml wants, with hashes and without the address of a package index."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES = {
    "services/requirements.txt": PROJECT["project"]["dependencies"],
    "dev-environment/stack/requirements.txt": PROJECT["dependency-groups"]["local"],
    "tests/requirements.txt": PROJECT["dependency-groups"]["test"],
    "dev-environment/requirements.txt": PROJECT["dependency-groups"]["lint"],
    "dev-environment/load/requirements.txt": PROJECT["dependency-groups"]["load"],
    "dev-environment/bench/requirements.txt": PROJECT["dependency-groups"]["bench"],
}


def pins(file: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", (ROOT / file).read_text()))


@pytest.mark.parametrize("file", FILES)
def test_what_is_wanted_is_pinned(file):
    known = pins(file)
    for wanted in FILES[file]:
        name, _, version = re.sub(r"\[.*?\]|;.*", "", wanted).partition("==")
        assert known[name] == (version or known[name]), wanted


@pytest.mark.parametrize("file", FILES)
def test_every_pin_has_a_hash_and_no_file_names_an_index(file):
    text = (ROOT / file).read_text()
    entries = re.split(r"(?m)^(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text))
    assert [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links", text) == []


def test_a_package_has_one_version_in_all_files():
    runtime = pins("services/requirements.txt")
    for file in FILES:
        for name, version in pins(file).items():
            assert runtime.get(name, version) == version, (file, name)


def test_every_folder_of_tests_is_run_by_make_test_or_has_a_target_of_its_own():
    by_make_test = PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
    own_target = re.findall(r"-m pytest (tests/\w+)", (ROOT / "Makefile").read_text())
    folders = {str(file.parent.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py")}
    run = (*by_make_test, *own_target)
    assert sorted(folder for folder in folders if not folder.startswith(run)) == []
