"""The settings of the stack: the environment over `.env` over the defaults, and what each process gets of them."""

from pathlib import Path

import pytest
from stack import environment, settings
from stack.errors import SettingError
from stack.services import PAGE, SERVICES, service_named
from stack.settings import Settings


def read(tmp_path: Path, file: str = "", **environ: str) -> Settings:
    path = tmp_path / ".env"
    path.write_text(file)
    return settings.read(environ, path)


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path):
    current = read(tmp_path, "AUTH_PORT=4001\nTENANT_PORT=4002 # moved\nSYSTEM_PORT=\n", AUTH_PORT="5001")
    ports = [current.port(name) for name in ("AUTH_PORT", "TENANT_PORT", "SYSTEM_PORT")]
    assert ports == [5001, 4002, 3003]


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "1e3"])
def test_a_value_that_is_no_port_is_refused_with_its_variable(tmp_path, value):
    with pytest.raises(SettingError, match="BUDGET_PORT"):
        read(tmp_path, BUDGET_PORT=value)


def test_two_services_on_one_port_are_refused(tmp_path):
    with pytest.raises(SettingError, match="TENANT_PORT and AUTH_PORT"):
        read(tmp_path, TENANT_PORT="3001")


def test_the_probe_runs_unless_it_is_switched_off(tmp_path):
    assert [each.name for each in read(tmp_path).programs if each not in SERVICES] == ["probe"]
    assert read(tmp_path, PROBE="0").programs == SERVICES
    with pytest.raises(SettingError, match="PROBE must be 1 or 0, not 'off'"):
        read(tmp_path, PROBE="off")


def test_the_administrator_of_the_broker_is_no_service(tmp_path):
    with pytest.raises(SettingError, match="RABBITMQ_USER must not be auth-service"):
        read(tmp_path, RABBITMQ_USER="auth-service")


@pytest.mark.parametrize("wrong", ["2", "=2", "a'b=2", "x=1=2", "*", "x=1 x=2", "x=", "x=two"])
def test_numbers_of_instances_that_prometheus_would_refuse_are_refused(tmp_path, wrong):
    with pytest.raises(SettingError, match="INSTANCES must"):
        read(tmp_path, INSTANCES=f"auth-service=1 {wrong}")
    assert read(tmp_path, INSTANCES="auth-service=1 jaeger=0").values["INSTANCES"]


@pytest.mark.parametrize("name", ["RABBITMQ_USER", "RABBITMQ_PASSWORD", "BUDGET_BROKER_PASSWORD"])
def test_a_login_of_the_broker_with_a_control_character_is_refused_with_its_variable(tmp_path, name):
    assert read(tmp_path, **{name: "a\tb\r\n"}).values[name] == "a\tb\r\n"
    with pytest.raises(SettingError, match=f"^{name} must hold no control character but tabs and line breaks"):
        read(tmp_path, **{name: "a\x1bb"})


def test_the_watchers_of_the_machine_run_all_or_none(tmp_path):
    assert read(tmp_path).values["WATCHERS"] == "all"
    assert read(tmp_path, "WATCHERS=none\n").values["WATCHERS"] == "none"
    with pytest.raises(SettingError, match="WATCHERS must be all or none, not 'jaeger'"):
        read(tmp_path, WATCHERS="jaeger")


@pytest.mark.parametrize("seconds", ["9.9", "301", "-60", "often"])
def test_a_pace_that_the_probe_would_refuse_is_refused(tmp_path, seconds):
    with pytest.raises(SettingError, match=f"PROBE_SECONDS must be a number from 10 to 300, not '{seconds}'"):
        read(tmp_path, PROBE_SECONDS=seconds)


@pytest.mark.parametrize("seconds", ["10", "12.5", "300"])
def test_a_pace_that_the_probe_takes_is_taken(tmp_path, seconds):
    assert read(tmp_path, PROBE_SECONDS=seconds).values["PROBE_SECONDS"] == seconds


def test_the_probe_gets_the_login_the_urls_and_its_own_port_and_no_database(tmp_path):
    current = read(tmp_path, "METRICS_PORT=1\n", PROBE_PORT="4090", BUDGET_PORT="4010", PROBE_SECONDS="30")
    made = environment.of_service(service_named("probe", current.programs), current, {"METRICS_PORT": "2"})
    assert (made["METRICS_PORT"], made["PROBE_SECONDS"]) == ("4090", "30")
    assert made["SERVICES__BUDGET"] == "http://127.0.0.1:4010"
    assert made["BOOTSTRAP__ADMIN_PASSWORD"] == settings.DEFAULTS["BOOTSTRAP__ADMIN_PASSWORD"]
    assert not {"DATABASE__URL", "EVENTS__CLIENT_SECRET", "PORT"} & made.keys()


def test_no_service_gets_what_the_accounts_of_the_others_follow_from(tmp_path):
    current = read(tmp_path, "BOOTSTRAP__SERVICE_SECRET=from-the-file\nBOOTSTRAP__ADMIN_PASSWORD=also\n")
    outer = {"BOOTSTRAP__SERVICE_SECRET": "from-the-shell"}
    made = [environment.of_service(service, current, outer) for service in SERVICES]
    assert not [name for each in made for name in each if name.startswith("BOOTSTRAP__")]
    assert len({each["EVENTS__CLIENT_SECRET"] for each in made}) == len(SERVICES)
    assert environment.of_preparation(current, {})["BOOTSTRAP__SERVICE_SECRET"] == "from-the-file"


def test_the_page_gets_the_login_of_the_story_and_no_other_secret(tmp_path):
    secrets = [name for name in settings.DEFAULTS if name.endswith(("_PASSWORD", "_SECRET"))]
    file = "".join(f"{name}=of-the-file\n" for name in secrets)
    made = environment.of_service(PAGE, read(tmp_path, file), {"HUB_TOKEN": "x", "DATABASE_URL": "x", "PATH": "/bin"})
    assert [name for name in made if made[name] in ("of-the-file", "x")] == ["BOOTSTRAP__ADMIN_PASSWORD"]
    assert made["PATH"] == "/bin"


def test_the_page_takes_no_more_memory_than_it_needs(tmp_path):
    assert environment.of_service(PAGE, read(tmp_path), {})["MALLOC_ARENA_MAX"] == "1"


def test_a_default_follows_the_variable_that_it_names(tmp_path):
    assert read(tmp_path).values["GRAFANA_URL"] == "http://localhost:3000"
    assert read(tmp_path, "GRAFANA_PORT=4000\n").values["GRAFANA_URL"] == "http://localhost:4000"


def test_a_service_has_two_names():
    assert service_named("auth") is service_named("auth-service")
    with pytest.raises(SettingError, match="use one of auth, tenant"):
        service_named("billing")


def test_each_service_gets_its_own_folders_port_and_database_and_what_the_file_adds(tmp_path):
    current = read(tmp_path, "LOG_LEVEL=debug\nMETRICS_PORT=9090\n")
    made = [environment.of_service(service, current, {"METRICS_PORT": "9091", "PORT": "1"}) for service in SERVICES]
    for name in ("SERVICE_NAME", "PORT", "LOG_DIR", "TRACES_DIR", "DATABASE__URL"):
        assert len({each[name] for each in made}) == len(SERVICES)
    assert {each["LOG_LEVEL"] for each in made} == {"debug"}
    assert not [each for each in made if "METRICS_PORT" in each]
    assert made[0]["PORT"] == "3001"


def test_what_the_shell_says_of_other_servers_reaches_no_process(tmp_path):
    current = read(tmp_path, "")
    shell = dict.fromkeys(
        ("PGSSLMODE", "PGTARGETSESSIONATTRS", "PGHOST", "PGOPTIONS", "PGPASSFILE", "http_proxy", "HTTPS_PROXY", "ALL_PROXY")
        + ("no_proxy", "grpc_proxy", "no_grpc_proxy", "GRPC_TRACE", "PROMETHEUS_MULTIPROC_DIR", "WEB_CONCURRENCY")
        + ("PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONSTARTUP", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONINSPECT")
        + ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "OPENSSL_CONF", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        "x",
    )  # fmt: skip
    ours = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "OTEL_TRACES_EXPORTER", "POSTGRES_PORT")
    outer = shell | dict.fromkeys(ours, "y")
    for made in (
        environment.of_service(SERVICES[0], current, outer),
        environment.of_preparation(current, outer),
        environment.of_client(current, outer),
        environment.from_shell(outer),
    ):
        assert not shell.keys() & made.keys()
        assert {*ours} <= made.keys()


def test_a_password_may_hold_any_character(tmp_path):
    current = read(tmp_path, POSTGRES_PASSWORD="p@ss:w/rd%")
    assert "p%40ss%3Aw%2Frd%25@127.0.0.1" in environment.superuser_url(current)
    made = environment.of_service(SERVICES[0], current, {})
    assert (made["DATABASE__URL"], made["DATABASE__PASSWORD"]) == (
        "postgresql://auth_app@127.0.0.1:15432/auth",
        "p@ss:w/rd%",
    )
