"""Which mode is chosen, and what PARTS means, over the model of the real compose files."""

from pathlib import Path

import pytest
import yaml
from local import engine, mode, parts
from local.settings import DEFAULTS, SettingError, Settings

ROOT = Path(__file__).parents[2]
MODEL = {
    name: each for file in engine.FILES for name, each in yaml.safe_load((ROOT / file).read_text())["services"].items()
}
SERVICES = {f"{short}-service" for short in ("auth", "tenant", "system", "budget", "personnel")}
BASE = {"postgres", "rabbitmq", "prepare", "log-volume"}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "running", set)
    return Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {})


@pytest.mark.parametrize(("lacking", "expected"), [("", "docker"), ("Docker is not installed", "local")])
def test_without_a_word_it_is_docker_where_it_can_be_had(settings, monkeypatch, lacking, expected):
    monkeypatch.setattr(engine, "lacking", lambda: lacking)
    chosen, why = mode.choose(settings, None)
    assert chosen == expected
    assert lacking in why


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
    with pytest.raises(SettingError, match="MODE must be local or docker, not 'podman'"):
        mode.choose(settings, "podman")


@pytest.mark.parametrize("everything", ["", "all", "all traces"])
def test_all_is_everything(everything):
    assert parts.chosen(everything, MODEL) == list(MODEL)


def test_the_groups_hold_every_watcher_once():
    watchers = yaml.safe_load((ROOT / engine.FILES[1]).read_text())["services"].keys()
    named = [name for group in parts.GROUPS.values() for name in group]
    assert len(named) == len(set(named))
    needed = {each for name in named for each in MODEL[name].get("depends_on", ())}
    assert set(named) | needed == watchers


def test_a_group_comes_with_what_it_needs_and_with_the_five_services():
    assert set(parts.chosen("traces", MODEL)) == SERVICES | BASE | {"jaeger", "jaeger-volume"}


def test_named_services_come_alone():
    assert set(parts.chosen("auth, tenant-service", MODEL)) == BASE | {"auth-service", "tenant-service"}


def test_what_is_no_part_is_refused_with_what_there_is():
    with pytest.raises(SettingError, match=r"PARTS names metric: use metrics, logs, traces, all, or .*kibana"):
        parts.chosen("metric traces", MODEL)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("logs", ["kibana-setup"]),
        ("elasticsearch elasticsearch-setup", ["elasticsearch-setup"]),
        ("traces", []),
    ],
)
def test_one_shots_that_nothing_waits_for_are_found(names, expected):
    assert parts.loose_ends(parts.chosen(names, MODEL), MODEL) == expected
