"""The environment says where spans go, and what cannot be set up there costs one warning."""

import json
from pathlib import Path
from typing import Any

import pytest

from libs.observability import TelemetrySettings
from libs.observability.traces.exporters import exporter_names
from tests.fixtures.telemetry import read_lines
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

# What is read at import is mended for good, since it is read again later.
IMPORTED = "from libs.observability import start\nbefore = dict(os.environ)"
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


def test_a_collector_and_files_each_get_every_span(run, tmp_path):
    with http_collector() as collector:
        given = {"OTEL_TRACES_EXPORTER": "otlp,files", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        result = run(PROGRAM, TRACES_DIR=str(tmp_path / "traces"), **given)
    assert (result.stdout.strip(), result.returncode) == ("", 0), result.stderr
    [(_, _, body)] = collector.requests
    [resource] = json.loads((tmp_path / "traces" / "spans.jsonl").read_text())["resourceSpans"]
    assert decode_otlp(body) == [span["name"] for span in resource["scopeSpans"][0]["spans"]] == ["work"]


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


ODD = {
    "OTEL_PROPAGATORS": "tracecontext,b3",
    "OTEL_TRACES_EXPORTER": "nonsense,files",
    "OTEL_TRACES_SAMPLER": "nonsense",
    "OTEL_TRACES_SAMPLER_ARG": "half",
    "OTEL_PYTHON_ID_GENERATOR": "xray",
    "OTEL_PYTHON_TRACER_PROVIDER": "nonsense",
    "OTEL_PYTHON_METER_PROVIDER": "nonsense",
    "OTEL_PYTHON_CONTEXT": "nonsense",
    "OTEL_PYTHON_EXCLUDED_URLS": "[",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "nonsense",
    "OTEL_SDK_DISABLED": "yes",
    "OTEL_CONFIG_FILE": "/nowhere.yaml",
    "OTEL_RESOURCE_ATTRIBUTES": "hunter2,team=red",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nonsense",
    "OTEL_BSP_SCHEDULE_DELAY": "9" * 30,
    "OTEL_BSP_MAX_QUEUE_SIZE": "0",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "many",
    "OTEL_BSP_EXPORT_TIMEOUT": "-1",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "-1",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "1e3",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:99999",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key hunter2",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key: hunter2,a=b",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "nan",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "zip",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem",
    "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
}


def warnings_of(tmp_path: Path) -> list[dict[str, Any]]:
    return [line for line in read_lines(tmp_path / "logs") if line["level"] != "info"]


def test_of_every_odd_variable_one_warning_tells_and_the_spans_stay(run, tmp_path):
    program = PROGRAM.replace("before = dict(os.environ)\nfrom libs.observability import start", IMPORTED)
    result = run(program, TRACES_DIR=str(tmp_path / "traces"), PYTHONOPTIMIZE="2", **ODD)
    assert result.returncode == 0, result.stderr
    told = warnings_of(tmp_path)
    assert sorted(line.get("variable", line["message"]) for line in told) == sorted(ODD)
    assert all(line["used_instead"] for line in told)
    assert "hunter2" not in (tmp_path / "logs" / "combined.log").read_text() + result.stderr
    [resource] = json.loads((tmp_path / "traces" / "spans.jsonl").read_text())["resourceSpans"]
    assert resource["scopeSpans"][0]["spans"][0]["name"] == "work"
    assert {"key": "team", "value": {"stringValue": "red"}} in resource["resource"]["attributes"]


@pytest.mark.parametrize(
    "given",
    [
        {"OTEL_TRACES_EXPORTER": "jaeger_proto"},
        {"OTEL_CONFIG_FILE": __file__},
        {"OTEL_EXPORTER_JAEGER_AGENT_PORT": "many", "OTEL_TRACES_EXPORTER": "files"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_cannot_be_set_up_is_one_warning_and_the_spans_go_to_traces_dir(run, given, tmp_path):
    result = run(PROGRAM, TRACES_DIR=str(tmp_path / "traces"), **given)
    assert result.returncode == 0, result.stderr
    assert len(warnings_of(tmp_path)) == 1 or "grpc" in given.values()
    assert warnings_of(tmp_path)[0]["level"] == "warning"


def test_an_address_without_a_scheme_is_one_of_http(run, tmp_path):
    with http_collector() as collector:
        run(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url.removeprefix("http://"))
    assert [decode_otlp(body) for _, _, body in collector.requests] == [["work"]]
    assert [line["variable"] for line in warnings_of(tmp_path)] == ["OTEL_EXPORTER_OTLP_ENDPOINT"]


@pytest.mark.parametrize("fast", [True, False])
def test_spans_go_to_the_collector_and_never_to_the_proxy_of_the_web(run, fast):
    program = PROGRAM if fast else "import sys; sys.modules['libs.observability.fast'] = None\n" + PROGRAM
    with http_collector() as collector, http_collector() as proxy:
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        run(program, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **dict.fromkeys(names, proxy.url))
    assert (len(collector.requests), proxy.requests) == (1, [])


def test_jaegers_spans_do_not_go_to_the_proxy_of_the_web_either(run):
    with http_collector() as collector, http_collector() as proxy:
        endpoint = {"OTEL_TRACES_EXPORTER": "jaeger", "OTEL_EXPORTER_JAEGER_ENDPOINT": f"{collector.url}/api/traces"}
        run(PROGRAM, **endpoint, http_proxy=proxy.url)
    assert ([path for path, _, _ in collector.requests], proxy.requests) == (["/api/traces"], [])


def test_a_name_in_the_resource_attributes_holds_where_nobody_has_named_the_service(run, variables, tmp_path):
    del variables["SERVICE_NAME"]
    run(PROGRAM, TRACES_DIR=str(tmp_path / "traces"), OTEL_RESOURCE_ATTRIBUTES="service.name=shop")
    assert '"key":"service.name","value":{"stringValue":"shop"}' in (tmp_path / "traces" / "spans.jsonl").read_text()


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
