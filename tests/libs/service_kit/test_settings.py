"""A wrong setting is one line that names the variable, and the process ends before its port opens."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yarl
from pydantic import ValidationError
from sqlalchemy.engine import make_url
from stack.ports import free_port

from libs.service_kit import migrations
from libs.service_kit.settings import check_address, load
from tests.libs.service_kit.probe.main import Settings

ROOT = Path(migrations.__file__).parents[2]
SECRET = "hunter2"
URL = f"postgresql://probe_app:{SECRET}@127.0.0.1:5432/probe"

WRONG = {
    "PORT": ["-1", "0", "65536", "x"],
    "HOST": [""],
    "DATABASE__URL": ["", "nonsense", "mysql://h/db", "postgresql://h:5432", f"postgresql://u:{SECRET}@h:x/d"]
    + [f"postgresql://u:{SECRET}@h:70000/d", f"postgresql://u:{SECRET}@h/d?sslmode=bogus", "postgresql://h/d"]
    + ["postgresql://u@h/d?ssl=bogus", "postgresql:///d"],
    "DATABASE__POOL_SIZE": ["0", "x"],
    "DATABASE__POOL_TIMEOUT_SECONDS": ["0"],
    "DRAIN_SECONDS": ["-1", "x", "nan", "301"],
    "SERVICES__AUTH": ["nonsense", "ftp://auth"],
    "FORWARDED_ALLOW_IPS": ["x", "*", "10.0.0.1 10.0.0.2", "10.0.0.1/8", "10.0.0.256", "proxy.example", "[::1]"],
    "EVENTS__TRANSPORT": ["pigeon"],
    "EVENTS__CLIENT_SECRET": [""],
    "EVENTS__BROKER_URL": [
        "x",
        f"http://u:{SECRET}@h/",
        "amqp://",
        "amqp://h:0/",
        "amqp://h:x/",
        "amqp://h/?heartbeat=x",
        "amqps://h/?cafile=/nonexistent",
        "amqps://h/?cafile=",
        f"amqps://h/?cafile={__file__}",
        "amqps://h/?capath=/nonexistent",
        "amqps://h/?certfile=/nonexistent",
        f"amqps://h/?certfile={__file__}&keyfile=/nonexistent",
        "amqps://h/?no_verify_ssl=false",
    ],
    "EVENTS__MAX_ATTEMPTS": ["0"],
    "EVENTS__RETRY_SECONDS": ["0", "0.0004", "nan", "3601"],
    "EVENTS": ["nonsense"],
    "LOG_LEVEL": ["loud"],
    "METRICS_PORT": ["-1"],
    "JAEGER_AGENT_PORT": ["x"],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """An environment of nothing but a database and what is given: `environment(PORT="1")`."""

    def make(**given: str) -> None:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in ({"DATABASE__URL": URL} | given).items():
            monkeypatch.setenv(name, value)

    return make


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_wrong_value_is_one_line_that_names_the_variable(environment, capsys, name, value):
    environment(**({"EVENTS__TRANSPORT": "http"} if name == "EVENTS__CLIENT_SECRET" else {}), **{name: value})
    with pytest.raises(SystemExit) as end:
        load(Settings)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("probe-service cannot start: ")
    assert f": {name}: " in line
    assert SECRET not in line


def test_a_service_prefetches_no_more_events_than_get_a_connection(environment, capsys):
    by_broker = {"EVENTS__TRANSPORT": "rabbitmq", "EVENTS__BROKER_URL": "amqp://probe-service@h/"}
    environment(**by_broker, DATABASE__POOL_SIZE="6", EVENTS__PREFETCH="3")
    assert load(Settings).events.prefetch == 3
    environment(**by_broker, DATABASE__POOL_SIZE="5", EVENTS__PREFETCH="3")
    with pytest.raises(SystemExit):
        load(Settings)
    said = "probe-service cannot start: EVENTS__PREFETCH: 3 is more than half of DATABASE__POOL_SIZE, which is 2\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("given", [{}, {"EVENTS__BROKER_USER": "auth-service"}])
def test_a_service_is_itself_at_the_broker_since_its_events_would_be_refused(environment, capsys, given):
    by_broker = {"EVENTS__TRANSPORT": "rabbitmq", "EVENTS__BROKER_URL": "amqp://h/"}
    environment(**by_broker, **given)
    with pytest.raises(SystemExit):
        load(Settings)
    said = "probe-service cannot start: EVENTS__BROKER_USER: must be probe-service, the source of its events\n"
    assert capsys.readouterr().err == said
    environment(**by_broker, EVENTS__BROKER_USER="probe-service")
    assert load(Settings).events.broker_url


@pytest.mark.parametrize("transport", ["http", "rabbitmq"])
def test_what_a_transport_needs_is_named(environment, capsys, transport):
    environment(EVENTS__TRANSPORT=transport)
    with pytest.raises(SystemExit):
        load(Settings)
    needed = {"http": "EVENTS__CLIENT_SECRET", "rabbitmq": "EVENTS__BROKER_URL"}[transport]
    said = f"probe-service cannot start: {needed}: is required when EVENTS__TRANSPORT is {transport}\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("host", [" ", "nohost.invalid", "1.2.3.4", "127.0.0.1:80", "a" * 200, "é" * 200, "http://h"])
def test_an_address_that_is_not_this_machines_is_one_line_that_names_host(environment, capsys, host):
    environment(HOST=host, METRICS_HOST="127.0.0.1")
    with pytest.raises(SystemExit) as end:
        check_address(load(Settings))
    (line,) = capsys.readouterr().err.splitlines()
    assert (end.value.code, line.startswith("probe-service cannot start: HOST: ")) == (2, True), line


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_taken_port_is_one_line_that_names_port(environment, capsys, host):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        environment(HOST=host, PORT=str(squatter.getsockname()[1]))
        with pytest.raises(SystemExit) as end:
            check_address(load(Settings))
    (line,) = capsys.readouterr().err.splitlines()
    assert (end.value.code, line.startswith("probe-service cannot start: PORT: ")) == (2, True), line
    check_address(load(Settings))


def test_every_wrong_variable_is_named(environment, capsys):
    environment(PORT="x", DATABASE__POOL_SIZE="x")
    with pytest.raises(SystemExit):
        load(Settings)
    (line,) = capsys.readouterr().err.splitlines()
    assert "PORT" in line
    assert "DATABASE__POOL_SIZE" in line


def test_a_process_with_a_wrong_setting_ends_before_its_port_opens():
    port = free_port()
    ended = subprocess.run(
        [sys.executable, "-m", "tests.libs.service_kit.probe.main"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ".", "PORT": str(port), "DATABASE__URL": "x"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == ["probe-service cannot start: DATABASE__URL: is not a database URL"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_environment_as_it_was_asked_for_is_enough(environment):
    environment(
        LOG_LEVEL="info",
        SERVICE_NAME="auth-service",
        NODE_ENV="production",
        JAEGER_AGENT_HOST="jaeger",
        JAEGER_AGENT_PORT="6831",
        METRICS_PORT="9090",
    )
    settings = load(Settings)
    assert settings.port == 3999
    assert settings.telemetry.service_name == "auth-service"
    assert settings.telemetry.metrics_port == 9090


def test_a_metrics_port_that_is_the_service_s_own_is_no_second_listener(environment):
    environment(METRICS_PORT="3999")
    assert load(Settings).telemetry.metrics_port is None


@pytest.mark.parametrize(
    ("given", "read"),
    [("", ""), ("10.0.0.1", "10.0.0.1"), (" 10.0.0.0/8, ::1,fd00::/8 ", "10.0.0.0/8,::1,fd00::/8")],
)
def test_proxies_are_addresses_or_networks_and_an_empty_list_is_nobody(environment, given, read):
    environment(FORWARDED_ALLOW_IPS=given)
    assert load(Settings).forwarded_allow_ips == read


def test_what_is_given_is_read_and_the_rest_keeps_its_default(environment):
    environment(SERVICES__AUTH="http://localhost:3001/", EVENTS__TRANSPORT="http", EVENTS__CLIENT_SECRET=SECRET)
    settings = load(Settings)
    assert settings.services.of("auth") == "http://localhost:3001"
    assert settings.services.of("budget") == "http://budget-service:3010"
    assert settings.database.url.get_secret_value() == URL.replace("postgresql", "postgresql+asyncpg", 1)
    assert settings.database.pool_size == 10
    assert settings.telemetry.service_name == "probe-service"


@pytest.mark.parametrize("odd", [*"/#?@%:$'\"\\ é+&{", "%41", "[1]", "null", "${X}", "a b", "😀"])
def test_users_and_passwords_of_any_characters_have_variables_of_their_own(environment, odd):
    environment(
        DATABASE__URL="postgresql://probe_app@127.0.0.1:5432/probe",
        DATABASE__PASSWORD=odd,
        EVENTS__BROKER_URL="amqp://127.0.0.1:5672/",
        EVENTS__BROKER_USER=odd,
        EVENTS__BROKER_PASSWORD=odd,
    )
    settings = load(Settings)
    assert settings.events.broker_url
    database, broker = (each.get_secret_value() for each in (settings.database.url, settings.events.broker_url))
    assert (make_url(database).password, make_url(database).host) == (odd, "127.0.0.1")
    assert (yarl.URL(broker).user, yarl.URL(broker).password, yarl.URL(broker).host) == (odd, odd, "127.0.0.1")


def test_a_password_of_its_own_wins_over_the_one_in_the_url(environment):
    environment(DATABASE__PASSWORD="other")
    assert make_url(load(Settings).database.url.get_secret_value()).password == "other"


def test_settings_hide_their_secrets_and_stay_as_they_are(environment):
    environment(EVENTS__CLIENT_SECRET=SECRET)
    settings = load(Settings)
    assert SECRET not in f"{settings!r} {settings.model_dump()}"
    with pytest.raises(ValidationError):
        settings.port = 1
