"""The settings classes, the tables in the two READMEs and .env.example name the same variables and defaults."""

import importlib
import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from stack import settings as stack_settings
from stack.services import PROGRAMS

from libs.observability import TelemetrySettings
from tests.fixtures.database import SERVICES
from tests.fixtures.environment import variables

ROOT = Path(__file__).parents[2]


def rows(readme: Path) -> set[str]:
    """The variables in the first column of a README's tables."""
    cells = re.findall(r"(?m)^\| ((?:`[A-Z][A-Z0-9_]+`(?:, )?)+) \|", readme.read_text())
    return {variable for cell in cells for variable in re.findall(r"`([A-Z0-9_]+)`", cell)}


def settings_of(service: str) -> type[BaseModel]:
    return importlib.import_module(f"services.{service}.settings").Settings


def test_the_readme_names_every_variable_of_the_services_and_no_other():
    read = {name for service in SERVICES for name, _ in variables(settings_of(service))}
    assert rows(ROOT / "README.md") == read


def test_the_shared_layers_readme_names_every_variable_of_its_own_and_no_other():
    named = rows(ROOT / "libs/observability/README.md") - {"NO_COLOR"}
    assert named == {name for name, _ in variables(TelemetrySettings)}


def test_env_example_holds_the_defaults_of_the_local_stack():
    defaults = stack_settings.read({}, ROOT / "no such file").values
    assert stack_settings.read({}, ROOT / ".env.example").from_file == defaults


@pytest.mark.parametrize(
    "file", [".env.example", "docker-compose.devops.yml", "dev-environment/logstash/logstash.conf"]
)
def test_the_lines_of_each_program_have_an_index_of_their_own(file):
    (named,) = set(re.findall(r"LOG_SERVICES(?:=|:-|:)([\w,-]+)", (ROOT / file).read_text()))
    assert sorted(named.split(",")) == sorted(program.name for program in PROGRAMS)


@pytest.mark.parametrize("service", SERVICES)
def test_the_documented_port_is_the_default(service):
    port = settings_of(service).model_fields["port"].default
    assert f"| [{service}](services/{service}/README.md) | {port} |" in (ROOT / "README.md").read_text()
    assert stack_settings.DEFAULTS[f"{service.upper()}_PORT"] == str(port)
