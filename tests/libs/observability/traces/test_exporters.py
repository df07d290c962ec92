"""The environment says where spans go, and what cannot be set up there costs one warning."""

import json

import pytest

from libs.observability import TelemetrySettings
from libs.observability.traces.exporters import exporter_names
from tests.libs.observability.conftest import read_lines
from tests.libs.observability.receivers import decode_otlp, decode_packet, http_collector, udp_agent

PROGRAM = """
import os, sys
before = dict(os.environ)
from libs.observability import start
from opentelemetry import trace
telemetry = start()
with trace.get_tracer("program").start_as_current_span("work"): pass
telemetry.shutdown()
assert dict(os.environ) == before, "the environment of children has changed"
heavy = {"grpc", "thrift"} & sys.modules.keys()
print(",".join(sorted(heavy)))
"""

NAMES = [
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "JAEGER_AGENT_HOST",
    "TRACES_DIR",
]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["otlp"]),
        ({"TRACES_DIR": "/x"}, ["files"]),
        ({"TRACES_DIR": "/x", "JAEGER_AGENT_HOST": "jaeger"}, ["jaeger"]),
        ({"TRACES_DIR": "/x", "JAEGER_AGENT_HOST": "jaeger", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, ["otlp"]),
        ({"JAEGER_AGENT_HOST": "jaeger", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, ["otlp"]),
        ({"OTEL_TRACES_EXPORTER": "none", "JAEGER_AGENT_HOST": "jaeger"}, []),
        ({"OTEL_TRACES_EXPORTER": "console, jaeger", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, ["console", "jaeger"]),
        ({"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": "", "TRACES_DIR": "/x"}, ["files"]),
    ],
)
def test_the_environment_chooses_the_exporter(monkeypatch, given, names):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert exporter_names(TelemetrySettings()) == names


def test_an_otlp_endpoint_gets_protobuf(run):
    with http_collector() as collector:
        result = run(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, JAEGER_AGENT_HOST="nowhere")
    assert (result.stdout.strip(), result.returncode) == ("", 0), result.stderr
    [(path, headers, body)] = collector.requests
    assert (path, headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
    assert decode_otlp(body) == ["work"]


@pytest.mark.parametrize("named", ["", "jaeger"])
def test_an_agent_host_gets_thrift_by_udp_and_grpc_is_not_loaded(run, named):
    with udp_agent() as agent:
        port = str(agent.getsockname()[1])
        result = run(PROGRAM, JAEGER_AGENT_HOST="127.0.0.1", JAEGER_AGENT_PORT=port, OTEL_TRACES_EXPORTER=named)
        batch = decode_packet(agent.recv(70_000))
    assert (batch.process.serviceName, [span.operationName for span in batch.spans]) == ("test-service", ["work"])
    assert (result.stdout.strip(), result.returncode) == ("thrift", 0), result.stderr


def test_a_traces_dir_alone_gets_files_with_the_resource(run, tmp_path):
    result = run(
        PROGRAM,
        TRACES_DIR=str(tmp_path / "traces"),
        SERVICE_VERSION="1.2.3",
        NODE_ENV="production",
        OTEL_RESOURCE_ATTRIBUTES="service.namespace=shop,team=red,service.name=ignored",
    )
    assert (result.stdout.strip(), result.returncode) == ("", 0), result.stderr
    [resource] = json.loads((tmp_path / "traces" / "spans.jsonl").read_text())["resourceSpans"]
    attributes = {each["key"]: next(iter(each["value"].values())) for each in resource["resource"]["attributes"]}
    assert {
        "service.name": "test-service",
        "service.namespace": "shop",
        "service.version": "1.2.3",
        "deployment.environment.name": "production",
        "team": "red",
    }.items() <= attributes.items()
    assert attributes["service.instance.id"]


def test_console_writes_spans_to_standard_output(run):
    result = run(PROGRAM, OTEL_TRACES_EXPORTER="console")
    assert '"name": "work"' in result.stdout


@pytest.mark.parametrize(
    "given",
    [
        {"OTEL_TRACES_EXPORTER": "nonsense"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_TRACES_EXPORTER": "files"},
    ],
)
def test_what_cannot_be_set_up_is_one_warning_and_no_end(run, given, tmp_path):
    result = run(PROGRAM, **given)
    assert result.returncode == 0
    warnings = [line for line in read_lines(tmp_path / "logs") if line["level"] == "warning"]
    assert [line["message"] for line in warnings] == ["tracing cannot be set up, going on without"]


def test_a_disabled_sdk_and_a_sampler_are_honoured(run, tmp_path):
    folder = tmp_path / "traces"
    run(PROGRAM, TRACES_DIR=str(folder), OTEL_SDK_DISABLED="true")
    run(PROGRAM, TRACES_DIR=str(folder), OTEL_TRACES_SAMPLER="always_off")
    assert not folder.exists() or (folder / "spans.jsonl").read_text() == ""


def test_a_provider_that_is_there_already_is_kept(run):
    program = (
        "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "mine = TracerProvider(); trace.set_tracer_provider(mine)\n"
        "from libs.observability import start\nstart()\nassert trace.get_tracer_provider() is mine"
    )
    result = run(program, OTEL_TRACES_EXPORTER="console")
    assert (result.returncode, "Overriding" in result.stderr) == (0, False), result.stderr


def test_a_dead_collector_costs_neither_the_program_nor_a_silent_loss(run):
    program = PROGRAM.replace(
        "telemetry.shutdown()",
        "telemetry.shutdown()\n"
        "from prometheus_client import REGISTRY\n"
        "lost = [REGISTRY.get_sample_value('spans_dropped_total', {'reason': r}) for r in ('export_failed', 'shutdown')]\n"
        "assert sum(lost) == 1, lost",
    )
    with http_collector() as collector:
        pass
    result = run(program, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert result.returncode == 0, result.stderr
