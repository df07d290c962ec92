"""The settings are read from the environment, and a wrong value is refused under the variable's name."""

import pytest
from pydantic import ValidationError

from libs.observability import TelemetrySettings


def test_the_environment_of_the_original_wiring_is_read_as_it_is_written(monkeypatch):
    for name, value in {
        "LOG_LEVEL": "info",
        "SERVICE_NAME": "auth-service",
        "NODE_ENV": "production",
        "JAEGER_AGENT_HOST": "jaeger",
        "JAEGER_AGENT_PORT": "6831",
        "METRICS_PORT": "9090",
    }.items():
        monkeypatch.setenv(name, value)
    settings = TelemetrySettings()
    assert (settings.log_level, settings.service_name, settings.environment) == ("info", "auth-service", "production")
    assert (settings.jaeger_agent_host, settings.jaeger_agent_port, settings.metrics_port) == ("jaeger", 6831, 9090)


def test_a_service_names_itself_unless_the_environment_does(monkeypatch):
    monkeypatch.delenv("SERVICE_NAME", raising=False)
    assert TelemetrySettings.for_service("auth-service").service_name == "auth-service"
    monkeypatch.setenv("SERVICE_NAME", "auth-blue")
    assert TelemetrySettings.for_service("auth-service").service_name == "auth-blue"


@pytest.mark.parametrize(("given", "level"), [("warn", "warning"), ("WARNING", "warning"), (" Debug ", "debug")])
def test_log_level_is_read_generously(monkeypatch, given, level):
    monkeypatch.setenv("LOG_LEVEL", given)
    assert TelemetrySettings().log_level == level


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LOG_LEVEL", "loud"), ("METRICS_PORT", "-1"), ("METRICS_PORT", "70000"), ("JAEGER_AGENT_PORT", "agent")],
)
def test_a_wrong_value_is_refused_under_its_name(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError) as refusal:
        TelemetrySettings()
    assert [str(error["loc"][0]).upper() for error in refusal.value.errors()] == [variable]


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("METRICS_PORT", "")
    assert TelemetrySettings().metrics_port is None
