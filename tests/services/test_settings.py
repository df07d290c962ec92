"""Every setting of every service refuses what nobody can mean, by one line that names the variable."""

import importlib
import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import HttpUrl, SecretStr

from libs.observability import TelemetrySettings
from libs.service_kit.settings import ServiceSettings, check_address, load
from tests.fixtures.database import SERVICES
from tests.fixtures.environment import variables

UNREADABLE = "\udcff"  # a byte that is no UTF-8, as the environment shows it
LONG = "x" * 5000
NUMBERS = ("x", " ", "-1", "inf", "nan", "1e400", "9" * 20, UNREADABLE)
STRINGS = (" ", "a\nb", "\x1b[31m", LONG, UNREADABLE)
NASTY: dict[object, tuple[str, ...]] = {
    int: NUMBERS,
    float: NUMBERS,
    str: STRINGS,
    Path: STRINGS,
    SecretStr: (LONG, UNREADABLE),  # which may otherwise hold any characters
    HttpUrl: ("x", " ", "ftp://h", "http://h/a", "http://h/?q", "http://h/#f", "http://u:p@h", "http://h:99999", LONG),
    Literal: ("x", " ", LONG),
}


def settings_of(service: str) -> type[ServiceSettings]:
    return importlib.import_module(f"services.{service}.settings").Settings


def kinds(annotation: Any) -> Iterator[object]:
    """The types that an annotation stands for, without None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from kinds(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from kinds(each)
    elif annotation is not type(None):
        yield origin or annotation


def cases() -> Iterator[Any]:
    """Each field with each nasty value of its type; a field of a new type fails here until it is known what is nasty."""
    for service in SERVICES:
        fields = [*variables(settings_of(service)), *(variables(TelemetrySettings) if service == "auth" else ())]
        for name, field in fields:
            for kind in kinds(field.annotation):
                for value in NASTY[kind]:
                    yield pytest.param(service, name, value, id=f"{service} {name}={value[:12]!a}")


@pytest.mark.parametrize(("service", "name", "value"), list(cases()))
def test_a_nasty_value_is_one_line_that_names_the_variable(monkeypatch, capsys, service, name, value):
    for inherited in list(os.environ):
        monkeypatch.delenv(inherited)
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        check_address(load(settings_of(service)))
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert line.startswith(f"{service}-service cannot start: {name}: ")
    assert len(line) < 300
