"""Which mode is chosen, and what the other verbs remember of it."""

from pathlib import Path

import pytest
from stack import mode
from stack.docker import engine
from stack.errors import SettingError
from stack.settings import DEFAULTS, Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(engine, "running", set)
    return Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {})


@pytest.mark.parametrize(("reason", "expected"), [("", "docker"), ("Docker is not installed", "local")])
def test_unless_somebody_chooses_it_is_docker_where_an_engine_answers(settings, monkeypatch, reason, expected):
    monkeypatch.setattr(engine, "why_unavailable", lambda: reason)
    chosen, why = mode.choose(settings, None)
    assert chosen == expected
    assert reason in why


def test_the_last_mode_and_its_parts_are_kept(settings):
    mode.remember(settings, "docker", "metrics traces")
    assert mode.choose(settings, None)[0] == mode.remembered(settings) == "docker"
    assert mode.parts(settings) == "metrics traces"
    mode.remember(settings, "local")
    assert (mode.remembered(settings), mode.used(settings)) == ("local", ["docker", "local"])
    mode.forget(settings)
    assert (mode.remembered(settings), mode.parts(settings), mode.used(settings)) == ("local", "", ["local"])


def test_what_is_asked_for_wins_and_must_exist(settings):
    mode.remember(settings, "docker")
    assert mode.choose(settings, "local")[0] == "local"
    variable = Settings(settings.values | {"MODE": "local"}, {})
    assert [mode.choose(variable, asked)[0] for asked in (None, "docker")] == ["local", "docker"]
    with pytest.raises(SettingError, match="MODE must be local, docker or kubernetes, not 'podman'"):
        mode.choose(settings, "podman")
