"""A watcher of this machine gets what compose gives its container, but for addresses, paths, and what does not run here."""

import glob
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stack import environment, postgres, report
from stack import settings as stack_settings
from stack.errors import SettingError
from stack.local import compose, supervisor, verbs, watchers
from stack.local.readiness import Silence
from stack.local.watchers import WATCHERS, Watcher
from stack.ports import free_port
from stack.services import PAGE, PROGRAMS, service_named
from stack.settings import DEFAULTS, ROOT, Settings

from tests.configs.test_compose import CONTAINERS
from tests.fixtures.strict import missing
from tests.fixtures.yaml_files import load

NAMES = [each.name for each in WATCHERS]
TOOLS = ("sh", "sed", "id", "tail")
STUB = '#!/bin/sh\necho "$@"\n'
DEV = ROOT / "dev-environment"


@pytest.fixture(autouse=True)
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH: it holds a stub of each watcher, and what start.sh calls."""
    folder = tmp_path / "opt" / "bin"
    folder.mkdir(parents=True)
    for each in WATCHERS:
        add(folder, each.programs[0])
    for name in TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add(folder: Path, name: str) -> None:
    (folder / name).write_text(STUB)
    (folder / name).chmod(0o755)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No port has its default."""
    ports = {name: str(free_port()) for name in DEFAULTS if name.endswith("_PORT")}
    return stack_settings.read(ports | {"STATE_DIR": str(tmp_path / "a state")}, tmp_path / "no such file")


@contextmanager
def squatter(port: int) -> Iterator[None]:
    """Another program that listens on a port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


def named(name: str) -> Watcher:
    return next(each for each in WATCHERS if each.name == name)


def prepare(settings: Settings, name: str) -> tuple[list[str], dict[str, str]]:
    """What a watcher is started with after those on the PATH have been chosen."""
    watchers.choose(settings)
    return watchers.prepare(named(name), settings)


def written(settings: Settings, name: str, file: str) -> Any:
    prepare(settings, name)
    return load(settings.run / name / file)


def flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that holds no others, by where it stands."""
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(each, f"{at}/{key}")
    else:
        yield at, value


def test_those_on_the_path_run_unless_they_are_to_be_left_alone(settings, bin_folder):
    assert watchers.found(settings) == list(WATCHERS)
    (bin_folder / "alertmanager").rename(bin_folder / "prometheus-alertmanager")
    (bin_folder / "grafana").unlink()
    assert [each.name for each in watchers.found(settings)] == ["prometheus", "alertmanager", "jaeger"]
    assert watchers.found(replace(settings, values={**settings.values, "WATCHERS": "none"})) == []


def test_every_job_asks_the_port_that_its_target_has_here(settings):
    asked = {
        job["job_name"]: job["static_configs"][0]["targets"][0]
        for job in written(settings, "prometheus", "prometheus.yml")["scrape_configs"]
    }
    ours = {each.name: environment.url(each, settings) for each in PROGRAMS}
    theirs = {each.name: each.url(settings) for each in WATCHERS if each.name != "jaeger"}
    jaegers = {"jaeger": "JAEGER_METRICS_PORT", "jaeger-spanmetrics": "JAEGER_SPAN_METRICS_PORT"}
    there = ours | theirs | {job: f"http://127.0.0.1:{settings.port(name)}" for job, name in jaegers.items()}
    assert asked == {job: url.removeprefix("http://") for job, url in there.items()}


def test_what_does_not_run_is_not_asked(settings, bin_folder):
    for name in ("alertmanager", "jaeger", "grafana"):
        (bin_folder / name).unlink()
    config = written(replace(settings, values={**settings.values, "PROBE": "0"}), "prometheus", "prometheus.yml")
    jobs = [job["job_name"] for job in config["scrape_configs"]]
    assert [job for job in jobs if not job.endswith("-service")] == ["prometheus"]
    assert config["alerting"]["alertmanagers"] == []


def test_the_rules_are_found_whatever_the_path_of_the_checkout(settings, tmp_path, monkeypatch):
    folder = tmp_path / "a [b]* c?" / "dev-environment/prometheus"
    shutil.copytree(DEV / "prometheus", folder)
    monkeypatch.setattr(compose, "ROOT", folder.parents[1])
    (pattern,) = written(settings, "prometheus", "prometheus.yml")["rule_files"]
    assert sorted(glob.glob(pattern)) == sorted(str(each) for each in folder.glob("rules/*.yml"))


def test_prometheus_keeps_everything_else(settings):
    original, config = load(DEV / "prometheus/prometheus.yml"), written(settings, "prometheus", "prometheus.yml")
    rules = sorted(each for pattern in config["rule_files"] for each in Path("/").glob(pattern.removeprefix("/")))
    assert rules == sorted((DEV / "prometheus/rules").glob("*.yml"))
    # An older Prometheus knows the limit of single jobs only.
    limit = original["global"].pop("sample_limit")
    assert {job.pop("sample_limit") for job in config["scrape_configs"]} == {limit}
    jobs = {job["job_name"]: job for job in original["scrape_configs"]}
    for job in config["scrape_configs"]:
        written_down = jobs[job["job_name"]]
        written_down.pop("dns_sd_configs", None)
        assert job | {"static_configs": 0} == written_down | {"static_configs": 0}
    for moved in ("scrape_configs", "rule_files"):
        del original[moved], config[moved]
    (alertmanagers,) = original["alerting"]["alertmanagers"]
    assert len(alertmanagers.pop("dns_sd_configs")) == 1
    changed = dict(flat(config)).items() ^ dict(flat(original)).items()
    assert {at for at, _ in changed} == {
        "/global/external_labels/grafana_url",
        "/global/external_labels/replica",
        "/alerting/alertmanagers/0/static_configs/0/targets/0",
    }


def test_jaeger_keeps_everything_but_addresses_paths_and_the_health_check_of_its_container(settings):
    original = dict(flat(load(DEV / "jaeger/config.yaml")))
    config = dict(flat(written(settings, "jaeger", "config.yaml")))
    changed = [value for at, value in original.items() if at in config and config[at] != value]
    places = re.compile(r"0\.0\.0\.0(:\d+)?|/etc/jaeger/.+|/badger/.+|http://prometheus:9090")
    assert [value for value in changed if not places.fullmatch(str(value))] == [8888]
    limits = {"/processors/memory_limiter/limit", "/processors/memory_limiter/spike_limit"}
    gone = original.keys() - config.keys() - {f"{each}_percentage" for each in limits}
    assert {at.split("/")[2] for at in gone} == {"healthcheckv2", "extensions"}
    assert config.keys() - original.keys() == {f"{each}_mib" for each in limits} | {
        "/extensions/jaeger_query/http/endpoint",
        "/extensions/jaeger_query/grpc/endpoint",
    }


def test_jaeger_leads_to_no_log_lines_since_nothing_stores_any(settings, bin_folder):
    assert load(DEV / "jaeger/ui.json")["linkPatterns"]
    assert written(settings, "jaeger", "ui.json")["linkPatterns"] == []


def test_jaeger_asks_no_prometheus_where_none_runs(settings, bin_folder):
    assert written(settings, "jaeger", "ui.json")["monitor"]["menuEnabled"]
    (bin_folder / "prometheus").unlink()
    config = written(settings, "jaeger", "config.yaml")
    assert config["extensions"]["jaeger_query"]["storage"] == {"traces": "main"}
    assert "9090" not in str(config)
    assert str(settings.port("PROMETHEUS_PORT")) not in str(config)
    assert not load(settings.run / "jaeger/ui.json")["monitor"]["menuEnabled"]


def told(settings: Settings, name: str) -> list[str]:
    """Whatever a watcher is told: its command line, its variables, and the values in its files."""
    command, variables = prepare(settings, name)
    own = [f"{name}={value}" for name, value in variables.items() - environment.from_shell().items()]
    files = [each for each in (settings.run / name).rglob("*") if each.is_file()]
    return [*command, *own, *(str(value) for file in files for _, value in flat(load(file)))]


@pytest.mark.parametrize("name", NAMES)
def test_no_address_and_no_path_of_a_container_is_left(settings, name):
    containers = "|".join(CONTAINERS)
    for text in told(settings, name):
        assert not re.search(rf"(?<![\w-])(?:{containers}|0\.0\.0\.0):\d", text)
        assert not re.search(r"(?:^|=)/(?:etc|badger|prometheus|alertmanager|var/lib|run/secrets)\b", text)
        assert not re.search(r"\$\{|:5601", text)


@pytest.mark.parametrize("name", NAMES)
def test_it_listens_on_this_machine_only_and_keeps_its_data_in_the_state_folder(settings, name):
    said = told(settings, name)
    port = settings.port(named(name).port_variable)
    listens = {
        "jaeger": {f"127.0.0.1:{port}"},
        "grafana": {"GF_SERVER_HTTP_ADDR=127.0.0.1", f"GF_SERVER_HTTP_PORT={port}"},
    }
    assert listens.get(name, {f"--web.listen-address=127.0.0.1:{port}"}) <= {*said}
    assert any(str(settings.state / "watchers" / name) in text for text in said)
    assert (settings.state / "watchers" / name).is_dir()


def test_limits_are_those_of_compose(settings):
    command, _ = prepare(settings, "prometheus")
    wanted = [each for each in CONTAINERS["prometheus"]["command"] if "retention" in each]
    assert len(wanted) == 2
    assert set(wanted) <= set(command)
    _, variables = prepare(settings, "jaeger")
    assert variables.items() >= CONTAINERS["jaeger"]["environment"].items()
    assert CONTAINERS["jaeger"]["deploy"]["resources"]["limits"]["memory"] == "1024M"
    limiter = written(settings, "jaeger", "config.yaml")["processors"]["memory_limiter"]
    assert limiter == {"check_interval": "1s", "limit_mib": 1024 * 80 // 100, "spike_limit_mib": 1024 * 20 // 100}


def test_each_has_the_time_to_stop_that_compose_gives_it(settings, tmp_path):
    watchers.choose(settings)
    file = ConfigParser(interpolation=None)
    file.read_string(supervisor.configuration(settings, postgres.Server(tmp_path, 1, "p", tmp_path)))
    seconds = {name: file[f"program:{name}"]["stopwaitsecs"] for name in (*NAMES, "auth-service")}
    assert CONTAINERS["jaeger"]["stop_grace_period"] == CONTAINERS["prometheus"]["stop_grace_period"] == "30s"
    ours = compose.seconds_to_stop("auth-service")
    assert seconds == dict.fromkeys(seconds, "10") | {"jaeger": "30", "prometheus": "30", "auth-service": str(ours)}


def test_each_port_that_a_watcher_listens_on_is_checked(settings):
    jaegers = {name for name in DEFAULTS if name.startswith(("JAEGER_", "OTLP_")) and name.endswith("_PORT")}
    others = {"PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"}
    assert watchers.ports(settings, WATCHERS).keys() == jaegers | others
    assert watchers.ports(settings, WATCHERS, socket.SOCK_DGRAM) == {
        "JAEGER_AGENT_PORT": (settings.port("JAEGER_AGENT_PORT"), "jaeger")
    }
    said = " ".join(told(settings, "jaeger"))
    assert [name for name in jaegers if settings.values[name] not in said] == []


class TestAlertmanager:
    """start.sh fills its configuration in; the stub then prints the command line."""

    def started(self, settings: Settings) -> tuple[str, Any]:
        command, variables = prepare(settings, "alertmanager")
        done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr, load(settings.state / "watchers/alertmanager/alertmanager.yml")

    def test_there_is_no_mailpit_so_it_sends_to_nobody(self, settings):
        said, config = self.started(settings)
        assert "alerts go to nobody by mail and not to Slack" in said
        assert config["receivers"] == [{"name": "nobody"}, {"name": "critical"}, {"name": "warning"}]
        assert config["inhibit_rules"]
        assert f"--config.file={settings.state}/watchers/alertmanager/alertmanager.yml" in said

    def test_a_mail_server_and_a_webhook_that_are_set_are_used(self, settings, tmp_path):
        webhook = tmp_path / "a & b's"
        webhook.write_text("http://127.0.0.1:1/")
        given = {"SMTP_SMARTHOST": "mail.example:25", "SLACK_WEBHOOK_URL_FILE": str(webhook)}
        said, config = self.started(replace(settings, values=settings.values | given))
        assert "by mail.example:25 and to Slack" in said
        critical = config["receivers"][1]
        assert critical["email_configs"][0]["to"] == DEFAULTS["ALERT_EMAIL_TO"]
        assert critical["slack_configs"][0]["api_url_file"] == str(webhook)
        assert config["global"]["smtp_smarthost"] == "mail.example:25"
        (messages,) = config["templates"]
        assert Path(messages).read_text().count(settings.values["GRAFANA_URL"])

    def test_a_file_of_a_secret_that_is_not_there_is_named(self, settings, tmp_path):
        given = {"SLACK_WEBHOOK_URL_FILE": str(tmp_path / "webhook")}
        with pytest.raises(subprocess.CalledProcessError) as refused:
            self.started(replace(settings, values=settings.values | given))
        assert refused.value.stderr == f"alertmanager: there is no file {tmp_path / 'webhook'} with a secret\n"

    def test_the_password_of_a_mail_server_that_is_not_used_may_be_missing(self, settings, tmp_path):
        given = {"SMTP_USERNAME": "alerts", "SMTP_PASSWORD_FILE": str(tmp_path / "password")}
        said, config = self.started(replace(settings, values=settings.values | given))
        assert "alerts go to nobody by mail" in said
        assert config["global"] is None
        with pytest.raises(subprocess.CalledProcessError):
            self.started(replace(settings, values=settings.values | given | {"SMTP_SMARTHOST": "mail.example:25"}))


class TestGrafana:
    """Grafana is provisioned as in compose. No Grafana could be had: nothing but its configuration is tested."""

    def test_its_data_sources_are_the_watchers_that_run(self, settings, bin_folder):
        config = written(settings, "grafana", "provisioning/datasources/all.yml")
        urls = {each["uid"]: each["url"] for each in config["datasources"]}
        assert urls == {each.name: each.url(settings) for each in WATCHERS if each.name != "grafana"}
        assert not re.search("tracesToLogsV2|log-lines", str(config)), "no store of log lines runs here"
        assert "datasourceUid': 'jaeger'" in str(config)
        (bin_folder / "jaeger").unlink()
        (bin_folder / "alertmanager").unlink()
        config = written(settings, "grafana", "provisioning/datasources/all.yml")
        assert not re.search("jaeger|alertmanager", str(config))

    def test_its_dashboards_are_those_of_the_checkout(self, settings):
        config = written(settings, "grafana", "provisioning/dashboards/all.yml")
        folders = [Path(each["options"]["path"]) for each in config["providers"]]
        assert folders == [DEV / "grafana" / each for each in ("dashboards", "runbooks", "provisioning/log-lines")]
        _, variables = prepare(settings, "grafana")
        assert Path(variables["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).exists()
        assert (Path(variables["GF_PATHS_PROVISIONING"]) / "dashboards/all.yml").exists()

    @pytest.mark.parametrize("home", ["opt", "opt/share/grafana"])
    def test_its_own_files_are_found_beside_its_program(self, settings, tmp_path, home):
        (tmp_path / home / "conf").mkdir(parents=True)
        (tmp_path / home / "conf/defaults.ini").touch()
        command, _ = prepare(settings, "grafana")
        assert command[1:] == [
            "server",
            f"--config={settings.run}/grafana/grafana.ini",
            f"--homepath={tmp_path / home}",
        ]

    def test_an_older_one_has_a_program_for_the_server(self, settings, bin_folder):
        (bin_folder / "grafana").rename(bin_folder / "grafana-server")
        command, _ = prepare(settings, "grafana")
        assert command == [str(bin_folder / "grafana-server"), f"--config={settings.run}/grafana/grafana.ini"]


def test_spans_go_to_jaeger_and_to_files_unless_somebody_says_where(settings, bin_folder):
    watchers.choose(settings)
    sent = watchers.spans_too(settings, {})
    assert sent == {
        "OTEL_TRACES_EXPORTER": "otlp,files",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{settings.port('OTLP_HTTP_PORT')}",
    }
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "JAEGER_AGENT_HOST"):
        assert watchers.spans_too(settings, {name: "elsewhere"}) == {}
        assert watchers.spans_too(settings, {name: ""}) == sent
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        endpoint = watchers.spans_too(settings, {name: "grpc"})["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == f"http://127.0.0.1:{settings.port('OTLP_GRPC_PORT')}"
    (bin_folder / "jaeger").unlink()
    watchers.choose(settings)
    assert watchers.spans_too(settings, {}) == {}


def test_the_table_leads_to_what_answers_and_a_line_says_why_something_does_not(settings, capsys):
    silent = {"jaeger": Silence("unknown key (the end of /x)", True), "grafana": Silence("no answer on port 3", False)}
    report.summary(settings, watchers={"prometheus": None, **silent})
    said = capsys.readouterr().out
    assert named("prometheus").url(settings) in said
    assert named("jaeger").url(settings) not in said
    assert "jaeger watches nothing, and the services go on without it: unknown key (the end of /x)" in said
    assert "grafana is not ready yet (`make status`): no answer on port 3" in said


def test_the_table_shows_no_password_of_grafana_which_may_keep_an_earlier_one(settings, capsys):
    report.summary(
        replace(settings, values=settings.values | {"GRAFANA_ADMIN_PASSWORD": "of-grafana"}), watchers={"grafana": None}
    )
    said = capsys.readouterr().out
    assert re.search(rf"{named('grafana').url(settings)} +admin +\n", said)
    assert "of-grafana" not in said


@pytest.mark.parametrize(
    ("names", "level", "trace"),
    [(["jaeger", "auth"], "", ""), (["page"], "error", ""), (["jaeger"], "", "0af7")],
)
def test_the_output_of_a_watcher_is_not_shown_as_if_it_were_filtered(settings, names, level, trace):
    watchers.choose(settings)
    with pytest.raises(SettingError, match=f"^{names[0]}: no lines with a level or trace"):
        verbs.logs(settings, names, level=level, trace=trace, follow=False)


def test_the_end_of_the_output_of_several_is_printed(settings, capfd):
    watchers.choose(settings)
    (settings.run / "page.out").write_text("served\n")
    with pytest.raises(SettingError, match=rf"there is no {settings.run}/jaeger\.out\.$"):
        verbs.logs(settings, ["page", "jaeger"], level="", trace="", follow=False)
    (settings.run / "jaeger.out").write_text("watched\n")
    verbs.logs(settings, ["page", "jaeger"], level="", trace="", follow=False)
    assert "served\n" in (said := capfd.readouterr().out)
    assert "watched\n" in said


@pytest.mark.parametrize(
    ("tool", "arguments", "name"),
    [
        ("promtool", ["check", "config"], "prometheus"),
        ("amtool", ["check-config"], "alertmanager"),
    ],
)
def test_the_tool_of_the_watcher_accepts_its_configuration(settings, tmp_path, monkeypatch, tool, arguments, name):
    command, variables = prepare(settings, name)
    subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, check=True)
    monkeypatch.undo()
    if not (program := shutil.which(tool)):
        missing(f"there is no {tool} on the PATH")
    folder = settings.run if name == "prometheus" else settings.state / "watchers"
    done = subprocess.run(
        [program, *arguments, str(folder / name / f"{name}.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_stands_at_grafanas_port_and_makes_room_where_grafana_runs(settings, bin_folder):
    wanted = settings.port("GRAFANA_PORT")
    with squatter(wanted + 2):
        beside = replace(settings, values=settings.values | {"KIBANA_PORT": str(wanted + 1)})
        watchers.choose(beside)
    assert watchers.port(PAGE, beside) == wanted + 3
    assert watchers.port(service_named("auth"), beside) == settings.port("AUTH_PORT")
    (bin_folder / "grafana").unlink()
    watchers.choose(settings)
    assert watchers.port(PAGE, settings) == wanted


def test_where_no_port_is_left_for_the_page_the_variable_is_named(settings):
    with pytest.raises(SettingError, match="No port above GRAFANA_PORT is free"):
        watchers.choose(replace(settings, values=settings.values | {"GRAFANA_PORT": "65535"}))


def test_what_was_started_does_not_depend_on_the_path_of_who_asks(settings, monkeypatch):
    watchers.choose(settings)
    page = watchers.port(PAGE, settings)
    monkeypatch.setenv("PATH", "/nowhere")
    assert watchers.started(settings) == list(WATCHERS)
    assert watchers.port(PAGE, settings) == page


def test_one_whose_port_is_taken_is_left_out_with_the_reason(settings):
    with squatter(settings.port("JAEGER_UI_PORT")):
        watchers.choose(settings)
    assert [each.name for each in watchers.started(settings)] == ["prometheus", "alertmanager", "grafana"]
    assert watchers.left_out(settings).keys() == {"jaeger"}
    assert "set JAEGER_UI_PORT in .env to a free port" in watchers.left_out(settings)["jaeger"]
    assert watchers.spans_too(settings, {}) == {}
