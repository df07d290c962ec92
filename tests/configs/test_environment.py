"""The settings classes, the tables in the two READMEs and .env.example name the same variables and defaults."""

import importlib
import re
from pathlib import Path

import pytest
from pydantic import AliasChoices, BaseModel
from stack import settings as stack_settings
from stack.services import PROGRAMS

from libs.observability import TelemetrySettings
from tests.fixtures.database import SERVICES

ROOT = Path(__file__).parents[2]


def variables(settings: type[BaseModel], prefix: str = "") -> set[str]:
    """The environment variables that a settings class reads; of several aliases, the first."""
    found: set[str] = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        first = alias.choices[0] if isinstance(alias, AliasChoices) else alias
        variable = f"{prefix}{(first or name)!s}".upper()
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            found |= variables(nested, f"{variable}__")
        else:
            found.add(variable)
    return found


def rows(readme: Path) -> set[str]:
    """The variables in the first column of a README's tables."""
    cells = re.findall(r"(?m)^\| ((?:`[A-Z][A-Z0-9_]+`(?:, )?)+) \|", readme.read_text())
    return {variable for cell in cells for variable in re.findall(r"`([A-Z0-9_]+)`", cell)}


def settings_of(service: str) -> type[BaseModel]:
    return importlib.import_module(f"services.{service}.settings").Settings


def test_the_readme_names_every_variable_of_the_services_and_no_other():
    read = set().union(*(variables(settings_of(service)) for service in SERVICES))
    assert rows(ROOT / "README.md") == read


def test_the_shared_layers_readme_names_every_variable_of_its_own_and_no_other():
    named = rows(ROOT / "libs/observability/README.md") - {"NO_COLOR"}
    assert named == variables(TelemetrySettings)


def test_env_example_holds_the_defaults_of_the_local_stack():
    defaults = stack_settings.read({}, ROOT / "no such file").values
    assert stack_settings.read({}, ROOT / ".env.example").from_file == defaults


@pytest.mark.parametrize(
    "file", [".env.example", "docker-compose.devops.yml", "dev-environment/logstash/logstash.conf"]
)
def test_the_lines_of_each_program_have_an_index_of_their_own(file):
    (named,) = re.findall(r"LOG_SERVICES(?:=|:-|:)([\w,-]+)", (ROOT / file).read_text())
    assert sorted(named.split(",")) == sorted(program.name for program in PROGRAMS)


@pytest.mark.parametrize("service", SERVICES)
def test_the_documented_port_is_the_default(service):
    port = settings_of(service).model_fields["port"].default
    assert f"| [{service}](services/{service}/README.md) | {port} |" in (ROOT / "README.md").read_text()
    assert stack_settings.DEFAULTS[f"{service.upper()}_PORT"] == str(port)
