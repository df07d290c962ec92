"""The verbs of the Docker mode, without Docker: what they ask of docker compose, and what goes wrong in words."""

import json

import pytest
from local import __main__ as command_line
from local import compose, doctor, engine, mode
from local.settings import DEFAULTS, SERVICES, Settings

from tests.local.test_mode import MODEL
from tests.local.test_mode import SERVICES as NAMES


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(command_line, "read", lambda: current)
    current = Settings(DEFAULTS | {"STATE_DIR": str(tmp_path)}, {})
    return current


@pytest.fixture
def asked(monkeypatch):
    """What docker compose is asked to do, each with the variables that it is given; all of it succeeds."""
    calls = []
    monkeypatch.setattr(engine, "lacking", lambda: "")
    monkeypatch.setattr(engine, "running", set)
    monkeypatch.setattr(engine, "model", lambda: MODEL)
    monkeypatch.setattr(engine, "has_image", lambda _: True)
    monkeypatch.setattr(engine, "remove_images", lambda _: None)
    monkeypatch.setattr(engine, "compose", lambda *asked, environment=None: calls.append((asked, environment or {})))
    monkeypatch.setattr(doctor, "for_docker", lambda *_: [])
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return calls


def verbs(calls):
    return [asked[0] for asked, _ in calls]


def test_parts_that_are_none_are_refused_and_leave_nothing_behind(settings, asked, capsys):
    assert command_line.main(["up", "--mode", "docker", "--parts", "metric"]) == 1
    assert "PARTS names metric" in capsys.readouterr().err
    assert (asked, list(settings.state.iterdir())) == ([], [])


@pytest.mark.parametrize("verb", ["up", "doctor"])
def test_without_an_engine_docker_mode_is_refused_and_not_remembered(settings, monkeypatch, capsys, verb):
    monkeypatch.setattr(engine, "lacking", lambda: "no Docker Engine answers")
    assert command_line.main([verb, "--mode", "docker"]) == 1
    assert "no Docker Engine answers. `make up MODE=local`" in capsys.readouterr().err
    assert list(settings.state.iterdir()) == []


@pytest.mark.parametrize("verb", [["down"], ["status"], ["restart"], ["trace"], ["logs"], ["logs", "--level", "error"]])
def test_a_verb_says_when_the_engine_has_gone(settings, monkeypatch, capsys, verb):
    mode.remember(settings, "docker")
    monkeypatch.setenv("PATH", "")
    engine.lacking.cache_clear()
    try:
        assert command_line.main(verb) == 1
    finally:
        engine.lacking.cache_clear()
    assert "Traceback" not in (said := capsys.readouterr().err)
    assert "Docker is not installed" in said or "Jaeger does not run" in said


@pytest.mark.parametrize(("parts", "exporter"), [("", None), ("metrics", "none")])
def test_without_jaeger_the_services_send_no_spans(settings, asked, parts, exporter):
    mode.remember(settings, "docker", parts)
    compose.up(settings)
    compose.restart(settings, SERVICES)
    told = [environment.get("OTEL_TRACES_EXPORTER") for what, environment in asked if what[0] == "up"]
    assert told == [exporter, exporter]


@pytest.mark.parametrize(("asked_for", "mode_then"), [([], "local"), (["--mode", "docker"], "docker")])
def test_images_that_cannot_be_had_stop_docker_mode_only_where_it_was_asked_for(
    settings, asked, monkeypatch, capsys, asked_for, mode_then
):
    started = []

    def refuse(*_, environment=None):
        raise engine.EngineError("no such host")

    monkeypatch.setattr(engine, "has_image", lambda _: False)
    monkeypatch.setattr(engine, "compose", refuse)
    monkeypatch.setattr(command_line.stack, "up", started.append)
    failed = command_line.main(["up", *asked_for])
    said = capsys.readouterr()
    assert "An image could not be pulled" in said.out + said.err
    assert (mode.remembered(settings), bool(failed), bool(started)) == (mode_then, bool(asked_for), not asked_for)


def test_what_is_left_out_is_stopped_and_what_ends_is_run_by_itself(settings, asked, monkeypatch):
    monkeypatch.setattr(engine, "running", lambda: {"jaeger", "kibana", "of another version"})
    mode.remember(settings, "docker", "logs")
    compose.up(settings)
    assert verbs(asked) == ["build", "rm", "up", "run"]
    assert [what for what, _ in asked if what[0] in ("rm", "run")] == [
        ("rm", "--stop", "--force", "jaeger"),
        ("run", "--rm", "--no-deps", "kibana-setup"),
    ]
    started = set(asked[2][0]) & MODEL.keys()
    assert NAMES | {"kibana", "logstash"} <= started
    assert not started & {"kibana-setup", "elasticsearch-setup", "prepare", "jaeger"}


def test_restart_leaves_out_what_parts_leave_out(settings, asked):
    mode.remember(settings, "docker", "auth")
    compose.restart(settings, SERVICES)
    assert set(asked[0][0]) & NAMES == {"auth-service"}


def test_logs_are_of_any_container_and_unknown_names_are_refused(settings, asked, capsys):
    mode.remember(settings, "docker")
    assert command_line.main(["logs", "--service", "kibana", "--service", "auth", "--no-follow"]) == 0
    assert asked == [(("logs", "kibana", "auth-service"), {})]
    assert command_line.main(["logs", "--service", "kibanna"]) == 1
    assert "there is no container kibanna" in capsys.readouterr().err


def test_clean_goes_on_when_one_mode_cannot(settings, monkeypatch, capsys):
    mode.remember(settings, "docker")
    mode.remember(settings, "local")
    (settings.state / "logs").mkdir()
    monkeypatch.setattr(engine, "lacking", lambda: "no Docker Engine answers")
    assert command_line.main(["clean"]) == 1
    assert "no Docker Engine answers" in capsys.readouterr().err
    assert (mode.used(settings), (settings.state / "logs").exists()) == (["docker"], False)


def test_containers_of_plain_docker_compose_are_found(settings, monkeypatch):
    monkeypatch.setattr(engine, "running", lambda: {"auth-service"})
    assert (mode.remembered(settings), mode.used(settings)) == ("docker", ["docker"])


@pytest.mark.parametrize(
    ("beginning", "said"), [("4bf9", "begins 2 traces"), ("77", "no log line"), ("xyz", "32 digits")]
)
def test_a_trace_is_named_by_its_first_digits(settings, asked, monkeypatch, capsys, beginning, said):
    mode.remember(settings, "docker")
    monkeypatch.setattr(engine, "running", lambda: {"jaeger", "auth-service"})
    lines = {"4bf9": ["4bf92f35", "4bf9aaaa"], "77": [], "4bf92": ["4bf92f35", "4bf92f35"]}
    monkeypatch.setattr(
        engine,
        "lines",
        lambda *asked: (json.dumps({"trace_id": each})[1:-2] + "\n" for each in lines[beginning_of(asked)]),
    )

    def beginning_of(asked):
        return asked[-1].partition('?"')[2].partition("[")[0]

    assert command_line.main(["trace", beginning]) == 1
    assert said in capsys.readouterr().err
    assert command_line.main(["trace", "4bf92"]) == 0
    assert "/trace/4bf92f35\n" in capsys.readouterr().out
