"""The verbs of Docker mode, without Docker: the calls of docker compose that they make, and the errors that they report."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from stack import __main__ as command_line
from stack import mode
from stack.docker import checks, engine, logins, verbs
from stack.ports import free_port
from stack.services import SERVICES
from stack.settings import DEFAULTS, Settings

from tests.dev_environment.stack.docker.model import MODEL
from tests.dev_environment.stack.docker.model import SERVICES as NAMES

# What docker compose was asked to do, and the variables that it was given.
Call = tuple[tuple[str, ...], Mapping[str, str]]
# How many of each service it was told of, each time it started something.
Scaled = list[Mapping[str, int]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(command_line, "read", lambda: current)
    moved = {name: str(free_port()) for name in DEFAULTS if name.endswith("_PORT")}
    current = Settings(DEFAULTS | moved | {"STATE_DIR": str(tmp_path)}, {})
    return current


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The calls of docker compose, all of which succeed."""
    calls: list[Call] = []
    monkeypatch.setattr(engine, "why_unavailable", lambda: "")
    monkeypatch.setattr(engine, "running", set)
    monkeypatch.setattr(engine, "model", lambda *_: MODEL)
    monkeypatch.setattr(engine, "containers", list)
    monkeypatch.setattr(engine, "has_data", lambda: False)
    monkeypatch.setattr(engine, "has_image", lambda _: True)
    monkeypatch.setattr(engine, "remove_images", lambda _: None)
    monkeypatch.setattr(
        engine, "compose", lambda *asked, environment=None, **_: calls.append((asked, environment or {}))
    )
    monkeypatch.setattr(checks, "findings", lambda *_: [])
    monkeypatch.setattr(logins, "is_refused_by_grafana", lambda _: False)
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.fixture
def scaled(asked: list[Call], monkeypatch: pytest.MonkeyPatch) -> Scaled:
    found: Scaled = []

    def compose(*what: str, replicas: Mapping[str, int] = engine.ONE_OF_EACH, **_: object) -> None:
        if what[0] in ("up", "pull"):
            found.append(replicas)

    monkeypatch.setattr(engine, "compose", compose)
    return found


def test_each_start_has_as_many_of_a_service_as_was_said_last(settings, scaled, capsys, monkeypatch):
    two = {service.name: 2 if service.short == "budget" else 1 for service in SERVICES}
    for given, expected in ((["--scale", "budget=2"], two), ([], two), (["--scale", "1"], {}), ([], {})):
        assert command_line.main(["up", "--mode", "docker", *given]) == 0
        assert scaled[-1] == expected
        assert "Scale: " in capsys.readouterr().out
        monkeypatch.setattr(engine, "running", lambda expected=expected: {"haproxy"} if expected else set())
        assert command_line.main(["restart"]) == 0
        assert scaled[-1] == expected


@pytest.mark.parametrize(("running", "wanted"), [({"haproxy"}, ""), ({"auth-service"}, "budget=2"), (set(), "2")])
def test_a_restart_takes_no_replica_and_no_port_away(settings, scaled, monkeypatch, capsys, running, wanted):
    mode.remember(settings, "docker", scale=wanted)
    monkeypatch.setattr(engine, "running", lambda: running)
    assert command_line.main(["restart"]) == 1
    assert ("`make up` first" in capsys.readouterr().err, scaled) == (True, [])


def test_the_numbers_of_another_mode_are_not_kept(settings, scaled, monkeypatch):
    mode.remember(settings, "kubernetes", scale="3")
    monkeypatch.setattr(command_line.kubernetes, "is_running", lambda _: False)
    assert command_line.main(["up", "--mode", "docker"]) == 0
    assert (scaled, mode.scale(settings)) == ([{}], "")


@pytest.mark.parametrize(("given", "expected"), [(["--scale", "3"], 3), ([], 2)])
def test_the_machine_is_looked_at_for_as_many_as_are_wanted(settings, asked, monkeypatch, given, expected):
    counted: list[int] = []

    def model(replicas: Mapping[str, int] = engine.ONE_OF_EACH) -> object:
        counted.append(replicas["budget-service"])
        return MODEL

    mode.remember(settings, "docker", scale="budget=2")
    monkeypatch.setattr(engine, "model", model)
    assert command_line.main(["doctor", *given]) == 0
    assert counted == [expected]


def test_the_image_of_haproxy_can_be_pulled(settings, scaled, monkeypatch):
    monkeypatch.setattr(engine, "has_image", lambda _: False)
    mode.remember(settings, "docker", scale="2")
    verbs.up(settings)
    assert scaled == [{service.name: 2 for service in SERVICES}] * 2


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        (["--mode", "docker", "--scale", "twice"], "SCALE must be a number from 1 to 10"),
        (["--mode", "local", "--scale", "2"], "`make up MODE=docker SCALE=2` starts several"),
    ],
)
def test_a_number_that_cannot_be_is_refused_before_anything_is_done(settings, asked, capsys, asked_for, said):
    assert command_line.main(["up", *asked_for]) == 1
    assert said in capsys.readouterr().err
    assert (asked, mode.is_settled(settings, None)) == ([], False)


def test_prometheus_is_told_what_ought_to_be_there(settings, asked):
    mode.remember(settings, "docker", "metrics")
    verbs.up(settings)
    (stated,) = [environment["INSTANCES"] for what, environment in asked if what[0] == "up"]
    assert {"budget-service=1", "jaeger=0", "prometheus=1"} <= {*stated.split()}


def test_who_says_by_hand_what_ought_to_be_there_is_not_overruled(settings, asked):
    verbs.up(Settings({**settings.values, "INSTANCES": "budget-service=2"}, {"INSTANCES": "budget-service=2"}))
    assert [environment.get("INSTANCES") for what, environment in asked if what[0] == "up"] == [None]


def test_an_empty_line_of_the_example_says_nothing(settings, asked):
    verbs.up(Settings(settings.values, {"INSTANCES": ""}))
    assert [bool(environment["INSTANCES"]) for what, environment in asked if what[0] == "up"] == [True]


def commands(calls: list[Call]) -> list[str]:
    return [asked[0] for asked, _ in calls]


def test_parts_that_do_not_exist_are_refused_before_anything_is_done(settings, asked, capsys):
    assert command_line.main(["up", "--mode", "docker", "--parts", "metric"]) == 1
    assert "PARTS names metric" in capsys.readouterr().err
    assert (asked, mode.is_settled(settings, None)) == ([], False)


@pytest.mark.parametrize("verb", ["up", "doctor"])
def test_without_an_engine_docker_mode_is_refused_and_not_remembered(settings, monkeypatch, capsys, verb):
    monkeypatch.setattr(engine, "why_unavailable", lambda: "no Docker Engine answers")
    assert command_line.main([verb, "--mode", "docker"]) == 1
    assert "no Docker Engine answers. `make up MODE=local`" in capsys.readouterr().err
    assert not mode.is_settled(settings, None)


@pytest.mark.parametrize("verb", [["down"], ["status"], ["restart"], ["trace"], ["logs"], ["logs", "--level", "error"]])
def test_a_verb_reports_that_the_engine_has_gone(settings, monkeypatch, capsys, verb):
    mode.remember(settings, "docker")
    monkeypatch.setenv("PATH", "")
    engine.why_unavailable.cache_clear()
    try:
        assert command_line.main(verb) == 1
    finally:
        engine.why_unavailable.cache_clear()
    assert "Traceback" not in (said := capsys.readouterr().err)
    assert "Docker is not installed" in said or "Jaeger does not run" in said


@pytest.mark.parametrize(("parts", "exporter"), [("", None), ("metrics", "none")])
def test_without_jaeger_the_services_send_no_spans(settings, asked, parts, exporter):
    mode.remember(settings, "docker", parts)
    verbs.up(settings)
    verbs.restart(settings, SERVICES)
    given = [environment.get("OTEL_TRACES_EXPORTER") for what, environment in asked if what[0] == "up"]
    assert given == [exporter, exporter]


@pytest.mark.parametrize(
    ("parts", "read"), [("", None), ("metrics loki", "provisioning-loki"), ("all loki", None), ("metrics", None)]
)
def test_grafana_finds_log_lines_in_loki_where_that_is_in_place_of_elasticsearch(settings, asked, parts, read):
    mode.remember(settings, "docker", parts)
    verbs.up(settings)
    verbs.up(Settings(settings.values, {"GRAFANA_PROVISIONING": "provisioning"}))  # a copy of .env.example
    given = [environment.get("GRAFANA_PROVISIONING") for what, environment in asked if what[0] == "up"]
    assert given == [read, read]


def test_grafana_reads_what_somebody_has_chosen(settings, asked):
    mode.remember(settings, "docker", "metrics loki")
    verbs.up(Settings({**settings.values, "GRAFANA_PROVISIONING": "mine"}, {"GRAFANA_PROVISIONING": "mine"}))
    given = [environment.get("GRAFANA_PROVISIONING") for what, environment in asked if what[0] == "up"]
    assert given == [None]


@pytest.mark.parametrize(("asked_for", "mode_then"), [([], "local"), (["--mode", "docker"], "docker")])
def test_images_that_cannot_be_pulled_stop_docker_mode_only_where_it_was_asked_for(
    settings, asked, monkeypatch, capsys, asked_for, mode_then
):
    started = []

    def refuse(*_: str, **__: object) -> None:
        raise engine.EngineError("no such host")

    monkeypatch.setattr(engine, "has_image", lambda _: False)
    monkeypatch.setattr(engine, "compose", refuse)
    monkeypatch.setattr(command_line.local, "up", started.append)
    failed = command_line.main(["up", *asked_for])
    said = capsys.readouterr()
    assert "An image could not be pulled" in said.out + said.err
    assert (mode.remembered(settings), bool(failed), bool(started)) == (mode_then, bool(asked_for), not asked_for)


def test_containers_that_are_left_out_are_stopped_and_one_shots_are_run_by_themselves(settings, asked, monkeypatch):
    monkeypatch.setattr(engine, "running", lambda: {"jaeger", "kibana", "of another version"})
    mode.remember(settings, "docker", "logs")
    verbs.up(settings)
    assert commands(asked) == ["build", "rm", "up", "run"]
    assert [what for what, _ in asked if what[0] in ("rm", "run")] == [
        ("rm", "--stop", "--force", "--volumes", "jaeger"),
        ("run", "--rm", "--no-deps", "kibana-setup"),
    ]
    started = set(asked[2][0]) & MODEL.keys()
    assert NAMES | {"kibana", "logstash"} <= started
    assert not started & {"kibana-setup", "elasticsearch-setup", "prepare", "jaeger"}


@pytest.mark.parametrize(
    ("running", "chosen", "first"),
    [
        ({"elasticsearch"}, "logs ha", ("stop", "elasticsearch")),
        ({"elasticsearch", "elasticsearch-2"}, "logs ha", None),
        ({"elasticsearch", "elasticsearch-2"}, "logs", ("exec", "-T", "elasticsearch", "bash", "/setup/alone.sh")),
        ({"elasticsearch", "elasticsearch-2"}, "metrics", ("exec", "-T", "elasticsearch", "bash", "/setup/alone.sh")),
        (set(), "logs ha", None),
    ],
)
def test_a_running_elasticsearch_is_told_of_nodes_that_come_or_go_before_they_do(
    settings, asked, monkeypatch, running, chosen, first
):
    monkeypatch.setattr(engine, "running", lambda: running)
    mode.remember(settings, "docker", chosen)
    verbs.up(settings)
    order = [what for what, _ in asked if what[0] != "build"]
    assert (order[0] if order[0][0] in ("stop", "exec") else None) == first
    ((started, environment),) = [each for each in asked if each[0][0] == "up"]
    assert environment["COMPOSE_PROFILES"] == ("ha" if "elasticsearch-2" in started else "")


@pytest.mark.parametrize(("parts", "is_told"), [("metrics", True), ("traces", False)])
def test_the_login_of_grafana_is_looked_at_where_it_runs(settings, asked, monkeypatch, capsys, parts, is_told):
    monkeypatch.setattr(logins, "is_refused_by_grafana", lambda _: True)
    mode.remember(settings, "docker", parts)
    verbs.up(settings)
    assert ("GRAFANA_ADMIN_PASSWORD is not Grafana's" in capsys.readouterr().out) is is_told


def test_a_probe_that_has_been_switched_off_is_stopped_and_not_built(settings, asked, monkeypatch):
    off = MODEL["probe"] | {"deploy": MODEL["probe"]["deploy"] | {"replicas": 0}}
    monkeypatch.setattr(engine, "model", lambda *_: MODEL | {"probe": off})
    monkeypatch.setattr(engine, "running", lambda: {"probe"})
    mode.remember(settings, "docker")
    verbs.up(settings)
    assert [what for what, _ in asked if "probe" in what] == [("rm", "--stop", "--force", "--volumes", "probe")]


def test_restart_leaves_out_what_parts_leave_out(settings, asked):
    mode.remember(settings, "docker", "auth")
    verbs.restart(settings, SERVICES)
    assert set(asked[0][0]) & NAMES == {"auth-service"}


def test_logs_are_of_any_container_and_unknown_names_are_refused(settings, asked, capsys):
    mode.remember(settings, "docker")
    assert command_line.main(["logs", "--service", "kibana", "--service", "auth", "--no-follow"]) == 0
    assert asked == [(("logs", "kibana", "auth-service"), {})]
    assert command_line.main(["logs", "--no-follow"]) == 0
    assert set(asked[1][0]) == {"logs", "probe", *NAMES}
    assert command_line.main(["logs", "--service", "kibanna"]) == 1
    assert "There is no container kibanna" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["up", "down", "restart", "migrate", "clean"])
def test_a_stack_of_another_checkout_is_left_alone(settings, asked, monkeypatch, capsys, tmp_path_factory, verb):
    mode.remember(settings, "docker")
    labels = "com.docker.compose.project=all-erp,com.docker.compose.project.working_dir={},com.docker.compose.version=2"
    other = tmp_path_factory.mktemp("other")
    started_from = [str(other), str(engine.ROOT)]
    monkeypatch.setattr(engine, "containers", lambda: [{"Labels": labels.format(each)} for each in started_from])
    assert command_line.main([verb]) == 1
    said = capsys.readouterr().err
    assert f"started from {other}: `make down` there" in said
    assert (asked, mode.has_used(settings, "docker")) == ([], True)
    other.rmdir()  # then nobody can stop it there
    assert command_line.main([verb]) == 0
    assert asked != []


def test_data_that_this_checkout_has_not_made_is_told(settings, asked, monkeypatch, capsys):
    monkeypatch.setattr(engine, "has_data", lambda: True)
    assert command_line.main(["up", "--mode", "docker"]) == 0
    assert "the engine has data of another checkout's stack" in capsys.readouterr().out
    assert command_line.main(["up"]) == 0
    assert "another checkout" not in capsys.readouterr().out


def test_up_looks_at_what_runs_only_when_no_other_command_can_change_it(settings, asked, monkeypatch):
    def look(_: Settings) -> bool:
        with (settings.state / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        looked.append(True)
        return False

    looked: list[bool] = []
    mode.remember(settings, "local")
    monkeypatch.setattr(command_line.local, "is_running", look)
    assert command_line.main(["up", "--mode", "docker"]) == 0
    assert looked == [True]


def test_clean_removes_no_data_that_this_checkout_has_not_made(settings, asked, monkeypatch, capsys):
    monkeypatch.setattr(engine, "has_data", lambda: True)
    current = Settings(settings.values | {"MODE": "docker"}, {})
    monkeypatch.setattr(command_line, "read", lambda: current)
    assert command_line.main(["clean"]) == 1
    assert "docker-compose.devops.yml '--profile=*' down --volumes` here" in capsys.readouterr().err
    assert asked == []
    mode.remember(settings, "docker")
    assert command_line.main(["clean"]) == 0
    assert commands(asked) == ["down"]


def test_clean_says_which_data_stays_where_this_checkout_has_never_used_docker(settings, asked, monkeypatch, capsys):
    assert command_line.main(["clean"]) == 0
    assert "stays" not in capsys.readouterr().out
    monkeypatch.setattr(engine, "has_data", lambda: True)
    assert command_line.main(["clean"]) == 0
    assert "a stack that this checkout has not started; it stays" in capsys.readouterr().out
    assert asked == []


def test_clean_goes_on_when_one_mode_cannot(settings, monkeypatch, capsys):
    mode.remember(settings, "docker")
    mode.remember(settings, "local")
    (settings.state / "logs").mkdir()
    monkeypatch.setattr(engine, "why_unavailable", lambda: "no Docker Engine answers")
    assert command_line.main(["clean"]) == 1
    assert "no Docker Engine answers" in capsys.readouterr().err
    assert (mode.used(settings), (settings.state / "logs").exists()) == (["docker"], False)


def test_containers_of_plain_docker_compose_are_found(settings, monkeypatch):
    monkeypatch.setattr(engine, "running", lambda: {"auth-service"})
    assert (mode.remembered(settings), mode.used(settings)) == ("docker", ["docker"])


@pytest.mark.parametrize(
    ("beginning", "said"), [("4bf9", "begins 2 traces"), ("77", "No log line"), ("xyz", "32 digits")]
)
def test_a_trace_is_named_by_its_first_digits(settings, asked, monkeypatch, capsys, beginning, said):
    mode.remember(settings, "docker")
    monkeypatch.setattr(engine, "running", lambda: {"jaeger", "auth-service"})
    lines = {"4bf9": ["4bf92f35", "4bf9aaaa"], "77": [], "4bf92": ["4bf92f35", "4bf92f35"]}

    def found(*command: str) -> list[str]:
        wanted = command[-1].partition('?"')[2].partition("[")[0]
        return [json.dumps({"trace_id": each})[1:-2] + "\n" for each in lines[wanted]]

    monkeypatch.setattr(engine, "lines", found)
    assert command_line.main(["trace", beginning]) == 1
    assert said in capsys.readouterr().err
    assert command_line.main(["trace", "4bf92"]) == 0
    assert "/trace/4bf92f35\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("second", "state", "is_well"),
    [
        ("healthy", "running", True),
        ("unhealthy", "running", False),
        ("starting", "running", False),
        ("", "exited", False),
        ("", "running", True),  # it has no health check
    ],
)
def test_the_status_is_that_of_every_replica(settings, asked, monkeypatch, second, state, is_well):
    names = [name for name, each in MODEL.items() if each["restart"] != "no"]
    found = [{"Service": name, "Health": "healthy"} for name in names] + [
        {"Service": "budget-service", "Health": second, "State": state}
    ]
    monkeypatch.setattr(engine, "containers", lambda: found)
    mode.remember(settings, "docker")
    assert verbs.status(settings) is is_well


def test_fewer_replicas_than_there_are_to_be_are_not_ready(settings, asked, monkeypatch):
    names = [name for name, each in MODEL.items() if each["restart"] != "no"]
    found = [{"Service": name, "Health": "healthy"} for name in names]
    two = MODEL["budget-service"] | {"deploy": MODEL["budget-service"]["deploy"] | {"replicas": 2}}
    monkeypatch.setattr(engine, "model", lambda *_: MODEL | {"budget-service": two})
    monkeypatch.setattr(engine, "containers", lambda: found)
    mode.remember(settings, "docker", scale="budget=2")
    assert not verbs.status(settings)
    found.append({"Service": "budget-service", "Health": "healthy"})
    assert verbs.status(settings)
