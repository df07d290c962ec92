"""A process has one id on its spans, in its metrics and in its lines, and a forked one has another."""

import json

PROGRAM = """
import json, os
from libs.observability import get_logger, start
from libs.observability.traces.scope import get_tracer
from opentelemetry import trace
from prometheus_client import REGISTRY

telemetry = start()

def show():
    get_logger("app").info("here")
    span = get_tracer("app").start_span("x")
    attributes = dict(span.resource.attributes)
    [info] = [each for family in REGISTRY.collect() if family.name == "service" for each in family.samples]
    telemetry.flush()
    line = (telemetry.settings.log_dir / "combined.log").read_text().splitlines()[-1]
    scope = span.instrumentation_scope
    ids = [attributes["service.instance.id"], info.labels["instance_id"], json.loads(line)["instance_id"]]
    same = attributes["process.pid"] == os.getpid() and bool(attributes["host.name"])
    print(json.dumps([ids, same, scope.version, scope.schema_url]), flush=True)

show()
if os.environ.get("FORK"):
    if os.fork() == 0:
        show()
        os._exit(0)
    os.wait()
    show()
"""


def test_the_three_signals_name_the_same_process(run):
    result = run(PROGRAM, OTEL_TRACES_EXPORTER="none")
    ids, is_this_process, version, schema = json.loads(result.stdout)
    assert len(set(ids)) == 1
    assert is_this_process
    assert version
    assert schema == "https://opentelemetry.io/schemas/1.44.0"


def test_an_id_that_the_environment_gives_is_kept(run):
    result = run(PROGRAM, OTEL_TRACES_EXPORTER="none", OTEL_RESOURCE_ATTRIBUTES="service.instance.id=replica-7")
    assert json.loads(result.stdout)[0] == ["replica-7"] * 3


def test_a_forked_process_is_another_one_in_all_three_signals(run):
    result = run(PROGRAM, OTEL_TRACES_EXPORTER="none", FORK="1")
    before, child, after = (json.loads(line) for line in result.stdout.splitlines())
    assert before == after
    assert len(set(child[0])) == 1
    assert child[0] != before[0]
    assert child[1]


def test_what_the_environment_says_of_the_process_holds_in_a_forked_one_too(run):
    given = {"host.name": "rack-7", "service.instance.id": "replica-7", "process.pid": "1", "team": "red"}
    program = """
import json, os
from libs.observability import start
from libs.observability.traces.scope import get_tracer

telemetry = start()
child = os.fork()
if child:
    os.wait()
print(json.dumps(dict(get_tracer("app").start_span("x").resource.attributes)), flush=True)
"""
    result = run(program, OTEL_TRACES_EXPORTER="none", OTEL_RESOURCE_ATTRIBUTES=",".join(map("=".join, given.items())))
    child, parent = (json.loads(line) for line in result.stdout.splitlines())
    assert child == parent
    assert given.items() <= child.items()
