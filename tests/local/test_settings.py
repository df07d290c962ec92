import pytest
from local import environment, settings
from local.settings import SERVICES, SettingError


def read(tmp_path, file="", **environ):
    path = tmp_path / ".env"
    path.write_text(file)
    return settings.read(environ, path)


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path):
    current = read(tmp_path, "AUTH_PORT=4001\nTENANT_PORT=4002 # moved\nSYSTEM_PORT=\n", AUTH_PORT="5001")
    ports = [current.port(name) for name in ("AUTH_PORT", "TENANT_PORT", "SYSTEM_PORT")]
    assert ports == [5001, 4002, 3003]


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "1e3"])
def test_a_port_that_is_none_is_refused_by_its_variable(tmp_path, value):
    with pytest.raises(SettingError, match="BUDGET_PORT"):
        read(tmp_path, BUDGET_PORT=value)


def test_two_services_on_one_port_are_refused(tmp_path):
    with pytest.raises(SettingError, match="TENANT_PORT and AUTH_PORT"):
        read(tmp_path, TENANT_PORT="3001")


def test_a_file_may_quote_comment_and_export():
    text = "export A=1\nB='two # not a comment'\n# C=3\nD=\"4\" # four\nno variable\n"
    assert settings.parse(text) == {"A": "1", "B": "two # not a comment", "D": "4"}


def test_a_service_may_be_called_by_either_name():
    assert settings.service_named("auth") is settings.service_named("auth-service")
    with pytest.raises(SettingError, match="use one of auth, tenant"):
        settings.service_named("billing")


def test_each_service_gets_its_own_folders_port_and_database_and_what_the_file_adds(tmp_path):
    current = read(tmp_path, "LOG_LEVEL=debug\nMETRICS_PORT=9090\n")
    made = [environment.of_service(service, current, {"METRICS_PORT": "9091", "PORT": "1"}) for service in SERVICES]
    for name in ("SERVICE_NAME", "PORT", "LOG_DIR", "TRACES_DIR", "DATABASE__URL"):
        assert len({each[name] for each in made}) == len(SERVICES)
    assert {each["LOG_LEVEL"] for each in made} == {"debug"}
    assert not [each for each in made if "METRICS_PORT" in each]
    assert made[0]["PORT"] == "3001"


def test_a_password_may_hold_anything(tmp_path):
    current = read(tmp_path, POSTGRES_PASSWORD="p@ss:w/rd%")
    assert "p%40ss%3Aw%2Frd%25@127.0.0.1" in environment.superuser_url(current)
