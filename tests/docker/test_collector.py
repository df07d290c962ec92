"""The Collector takes every line of the log files to Loki's endpoint, whatever is in it and whatever happens on the way.

The containers are those of the profile `loki` of the compose file, but for Loki itself, of which there is no image here:
`far_end.py` stands in its place and keeps what arrives.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from stack.ports import free_port

from tests.docker.images import ROOT, compose_service, image
from tests.docker.official import official
from tests.docker.own_stack import Stack
from tests.fixtures.golden_lines import GOLDEN, SPAN, TRACE, at, line
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.timeout(900)

SECONDS = 60
MIB = 1024 * 1024
FILE_GOLDEN = [each for each in GOLDEN if "file" in each.by]
RECENT = datetime.now(UTC) - timedelta(hours=1)


class Record(dict[str, Any]):
    """A record as Loki gets it: `body`, `time` and `observed` in nanoseconds, `trace_id`, `span_id`, and all attributes."""


class Pipeline:
    """The Collector, the files that it reads, and what has arrived at the far end."""

    def __init__(self, stack: Stack, logs: Path, far_end: str, metrics: str) -> None:
        self.stack = stack
        self.logs = logs
        self.far_end = far_end
        self.metrics = metrics

    def write(self, *lines: str | bytes, file: str = "auth-service/combined.log", end: bytes = b"\n") -> None:
        path = self.logs / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as opened:
            opened.write(b"".join((each.encode() if isinstance(each, str) else each) + end for each in lines))

    def records(self) -> list[Record]:
        body, requests = httpx.get(self.far_end, timeout=60).content, []
        while body:
            size = 4 + int.from_bytes(body[:4], "big")
            requests.append(ExportLogsServiceRequest.FromString(body[4:size]))
            body = body[size:]
        return [record for request in requests for record in records_of(request)]

    def bodies(self) -> Counter[str]:
        return Counter(each["body"] for each in self.records())

    def arrived(self, body: str) -> Record:
        """The record with this body, once it is there."""
        found = eventually(lambda: [each for each in self.records() if each["body"] == body], SECONDS, body[:80])
        assert len(found) == 1
        return found[0]

    def answer(self, status: int) -> None:
        httpx.put(f"{self.far_end}/{status}").raise_for_status()

    def metric(self, name: str) -> float:
        text = httpx.get(f"{self.metrics}/metrics").raise_for_status().text
        found = re.findall(rf"(?m)^{name}(?:{{.*}})? (\S+)$", text)
        return sum(map(float, found))


def records_of(request: ExportLogsServiceRequest) -> Iterator[Record]:
    for resource in request.resource_logs:
        of_resource = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_logs:
            assert (scope.scope.name, scope.scope.version) == ("", "")
            for each in scope.log_records:
                attributes = {one.key: one.value.string_value for one in each.attributes}
                yield Record(
                    body=each.body.string_value,
                    time=each.time_unix_nano,
                    observed=each.observed_time_unix_nano,
                    trace_id=each.trace_id.hex(),
                    span_id=each.span_id.hex(),
                    severity=each.severity_text,
                    resource=of_resource,
                    attributes=attributes,
                )


@pytest.fixture(scope="module")
def pipeline(docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The containers of the profile, with a folder of the tests as log volume and the far end in place of Loki."""
    with running(docker, tmp_path_factory.mktemp("loki")) as made:
        yield made


@contextmanager
def running(docker: Callable[..., str], folder: Path, *settings: str) -> Iterator[Pipeline]:
    """The same, in a folder; `settings` change those of the files in otel-collector."""
    official(docker, image("otel-collector"))
    configs = [*compose_service("otel-collector")["command"], *(f"--config=yaml:{each}" for each in settings)]
    logs = folder / "logs"
    logs.mkdir(mode=0o755)
    far_end, metrics = free_port(), free_port()
    own = {
        "services": {
            "loki": {
                "image": "python:3.13-slim",
                "entrypoint": ["python", "/far_end.py"],
                "volumes": [f"{ROOT}/tests/docker/far_end.py:/far_end.py:ro,z"],
                "ports": [f"127.0.0.1:{far_end}:3100"],
                "healthcheck": {"disable": True},
            },
            "otel-collector": {"ports": [f"127.0.0.1:{metrics}:8888"], "command": configs},
        },
        "volumes": {"app-logs": {"driver_opts": {"type": "none", "o": "bind", "device": str(logs)}}},
    }
    (folder / "far-end.yml").write_text(yaml.safe_dump(own).replace("ports:", "ports: !override"))
    stack = Stack(folder, str(folder / "far-end.yml"))
    try:
        stack.compose("up", "--detach", "otel-collector")
        yield Pipeline(stack, logs, f"http://127.0.0.1:{far_end}", f"http://127.0.0.1:{metrics}")
    finally:
        stack.compose("--profile", "loki", "down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="module")
def golden(pipeline: Pipeline) -> Counter[str]:
    """How often each golden line has arrived, once the last of them has."""
    pipeline.write(*(each.line for each in FILE_GOLDEN), line("the last golden line"))
    eventually(lambda: pipeline.bodies()[line("the last golden line")], SECONDS)
    return pipeline.bodies()


def kept(written: str) -> str:
    """What is kept of a line: its first MiB."""
    return written.encode()[:MIB].decode()


@pytest.mark.parametrize("each", FILE_GOLDEN, ids=lambda each: each.what)
def test_a_line_of_any_kind_arrives_as_it_was_written(golden, each):
    assert golden[kept(each.line)] == [one.line for one in FILE_GOLDEN].count(each.line)


def test_a_line_has_its_own_time_and_what_it_is_found_by(pipeline):
    whole = line(
        "found", level="warning", trace_id=TRACE, span_id=SPAN, tenant_id="t-1", user_id="u-1", request_id="r-1"
    )
    pipeline.write(whole)
    assert pipeline.arrived(whole) == {
        "body": whole,
        "time": int(datetime.fromisoformat(at("05:37:21.123456Z")).timestamp() * 10**6) * 1000,
        "observed": 0,
        "trace_id": TRACE,
        "span_id": SPAN,
        "severity": "warning",
        "resource": {
            "service.name": "auth-service",
            "service.namespace": "all-erp",
            "deployment.environment.name": "development",
        },
        "attributes": {"level": "warning", "tenant_id": "t-1", "user_id": "u-1", "request_id": "r-1"},
    }


@pytest.mark.parametrize(
    ("file", "service", "label"),
    [
        ("auth-service/combined.log", "auth-service", "auth-service"),
        ("budget-service/2/combined.log", "budget-service", "budget-service"),
        ("combined.log", "tenant-service", "tenant-service"),
        ("combined.log", "of-nobody", "combined"),
        ("auth-service/combined.log", "of-nobody", "auth-service"),
        ("auth-service/combined.log", {"name": "budget-service"}, "auth-service"),
        ("my-cron.log", None, "my-cron"),
    ],
)
def test_the_labels_values_are_bounded(pipeline, file, service, label):
    written = line(f"label of {service} in {file}", service=service, environment="of its own")
    pipeline.write(written, file=file)
    resource = pipeline.arrived(written)["resource"]
    assert (resource["service.name"], resource["deployment.environment.name"]) == (label, "development")


@pytest.mark.parametrize(
    "level", ["ERROR", "verbose", "x" * 3000, 30, None, ["error"]], ids=lambda level: str(level)[:9]
)
def test_no_other_level_than_the_five_becomes_a_label(pipeline, level):
    written = line(f"level {level}", level=level)
    pipeline.write(written)
    assert pipeline.arrived(written)["attributes"].get("level") == ("error" if level == "ERROR" else None)


@pytest.mark.parametrize(
    "time", [None, 7, {"a": 1}, "yesterday", "2026-99-99T99:99:99Z", "2020-01-31T08:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_a_line_without_a_time_that_loki_takes_has_that_of_reading(pipeline, time):
    written = line(f"time {time}", timestamp=time)
    before = datetime.now(UTC).timestamp()
    pipeline.write(written)
    found = pipeline.arrived(written)
    assert (found["time"], found["observed"] / 10**9 > before) == (0, True)


@pytest.mark.parametrize("time", ["14:37:21.5+09:00", "05:37:21Z", "05:37:21.123456789+00:00"])
def test_a_time_of_any_zone_and_precision_is_read(pipeline, time):
    written = line(f"precise {time}", timestamp=at(time))
    pipeline.write(written)
    seconds, fraction = divmod(pipeline.arrived(written)["time"], 10**9)
    assert seconds == int(datetime.fromisoformat(at(time)[:19] + ("+09:00" if "+09" in time else "Z")).timestamp())
    assert fraction == int((time[8:].partition("Z")[0].partition("+")[0].strip(".") or "0").ljust(9, "0"))


@pytest.mark.parametrize(
    "fields", [{"trace_id": "0" * 32}, {"trace_id": "of no form"}, {"trace_id": 7}, {"span_id": SPAN}]
)
def test_a_line_without_a_trace_has_none(pipeline, fields):
    written = line(f"no trace {fields}", **fields)
    pipeline.write(written)
    assert pipeline.arrived(written)["trace_id"] == ""


def test_who_it_is_about_is_no_metadata_if_it_is_of_another_shape(pipeline):
    written = line("odd people", tenant_id="x" * 201, user_id=7, request_id=["r"])
    pipeline.write(written)
    assert pipeline.arrived(written)["attributes"] == {"level": "info"}


def test_what_is_no_line_of_json_arrives_too(pipeline):
    deep = '{"a":' * 10_000 + "1" + "}" * 10_000
    odd = ["  an indented text  ", "[1, 2]", "7", "null", deep, '{"message": "unfinished', "\ta tab\t"]
    pipeline.write(*odd, "", "   ", b"not \xff UTF-8")
    for each in odd:
        pipeline.arrived(each)
    pipeline.arrived("not � UTF-8")
    assert pipeline.bodies()[""] == 0


def test_of_a_huge_line_the_first_mebibyte_arrives_and_the_next_line_is_whole(pipeline):
    huge = line("x" * 3 * MIB)
    pipeline.write(huge, line("after the huge one"))
    pipeline.arrived(line("after the huge one"))
    assert [each for each in pipeline.bodies() if '"xxx' in each and len(each) > MIB // 2] == [kept(huge)]


def test_a_line_is_waited_for_until_it_ends(pipeline):
    whole = line("in two halves")
    pipeline.write(whole[:50], end=b"")
    pipeline.write(line("meanwhile"), file="budget-service/combined.log")
    pipeline.arrived(line("meanwhile"))
    assert whole[:50] not in pipeline.bodies()
    pipeline.write(whole[50:])
    pipeline.arrived(whole)


def test_error_log_is_not_read_since_combined_log_has_its_lines(pipeline):
    pipeline.write(line("an error twice", level="error"), file="auth-service/error.log")
    pipeline.write(line("an error twice", level="error"), file="auth-service/error.log.00000001.20261124T081500.17")
    pipeline.write(line("an error twice", level="error"))
    pipeline.arrived(line("an error twice", level="error"))


def numbered(number: int, what: str) -> str:
    moment = RECENT + timedelta(milliseconds=number)
    return line(f"{what} {number}", timestamp=f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z", filler="y" * 400)


def test_a_renamed_file_is_read_to_its_end(pipeline):
    name = "system-service/combined.log"
    for turn in range(8):
        pipeline.write(*(numbered(each, "rotated") for each in range(turn * 500, turn * 500 + 500)), file=name)
        # As libs/observability renames: the end of the old file and the first lines of the new one are written at once.
        (pipeline.logs / name).rename(pipeline.logs / f"{name}.{turn + 1:08d}.20261124T081500.17")
    wanted = Counter(numbered(each, "rotated") for each in range(4000))
    eventually(lambda: wanted <= pipeline.bodies(), SECONDS)
    assert {body: count for body, count in pipeline.bodies().items() if body in wanted and count != 1} == {}


def doubled(records: list[Record]) -> list[list[Record]]:
    """Records that arrived more than once, by body."""
    found: dict[str, list[Record]] = {}
    for each in records:
        found.setdefault(each["body"], []).append(each)
    return [each for each in found.values() if len(each) > 1]


@pytest.mark.parametrize("how", ["answers 503", "answers 429", "is away"])
def test_nothing_is_lost_or_doubled_while_the_far_end(pipeline, docker, how):
    name = f"personnel-service/{how}.log"
    cut = ("network", "disconnect", f"{pipeline.stack.name}", f"{pipeline.stack.name}-loki-1")
    wanted = {numbered(each, how) for each in range(5000)}
    docker(*cut) if how == "is away" else pipeline.answer(int(how.rpartition(" ")[2]))
    pipeline.write(*sorted(wanted), file=name)
    eventually(lambda: pipeline.metric("otelcol_exporter_queue_size") > MIB, SECONDS, "nothing waits")
    if how == "is away":
        docker("network", "connect", "--alias", "loki", *cut[2:])
    else:
        pipeline.answer(200)
    eventually(lambda: wanted <= pipeline.bodies().keys(), 120, "lines are missing")
    assert pipeline.metric("otelcol_exporter_send_failed_log_records_total") == 0
    assert {body for body, count in pipeline.bodies().items() if body in wanted and count > 1} == set()


def test_a_kill_loses_nothing_and_what_it_doubles_is_the_same_record(pipeline):
    name = "budget-service/combined.log"
    wanted = [numbered(each, "killed") for each in range(20_000)]
    for turn in range(4):
        its = wanted[turn * 5000 : turn * 5000 + 5000]
        # Killed with lines on their way, and in the third turn with lines in the queue.
        pipeline.answer(503 if turn == 2 else 200)
        pipeline.write(*its, file=name)
        if turn == 2:
            eventually(lambda: pipeline.metric("otelcol_exporter_queue_size") > 0, SECONDS, "nothing waits")
        else:
            eventually(lambda its=its: not pipeline.bodies().keys().isdisjoint(its), SECONDS, "nothing arrives")
        pipeline.stack.compose("kill", "otel-collector")
        pipeline.stack.compose("up", "--detach", "--no-deps", "otel-collector")
    pipeline.answer(200)
    eventually(lambda: set(wanted) <= pipeline.bodies().keys(), 120, "lines are missing")
    for same in doubled([each for each in pipeline.records() if "killed" in each["body"]]):
        assert [each for each in same if each != same[0]] == []


def test_a_full_queue_stops_the_reading_and_loses_nothing_even_if_it_is_killed_then(docker, tmp_path):
    """With a queue of 3 MB."""
    wanted = {numbered(each, "waits in its file") for each in range(20_000)}
    with running(docker, tmp_path, "exporters::otlp_http::sending_queue::queue_size: 3000000") as full:
        full.answer(503)
        full.write(*sorted(wanted))
        eventually(lambda: full.metric("otelcol_exporter_enqueue_failed_log_records_total"), SECONDS, "it is not full")
        assert full.metric("otelcol_receiver_accepted_log_records_total") < len(wanted) / 2
        full.stack.compose("kill", "otel-collector")
        full.stack.compose("up", "--detach", "--no-deps", "otel-collector")
        full.answer(200)
        eventually(lambda: wanted <= full.bodies().keys(), 240, "lines are missing")
        for same in doubled(full.records()):
            assert [each for each in same if each != same[0]] == []


def test_a_restart_reads_nothing_again(pipeline):
    before = pipeline.bodies()
    pipeline.stack.compose("restart", "otel-collector")
    pipeline.write(line("after the restart"))
    pipeline.arrived(line("after the restart"))
    assert pipeline.bodies() - before == Counter([line("after the restart")])


def test_lines_that_are_refused_are_counted(pipeline):
    pipeline.answer(400)
    pipeline.write(line("refused"))
    name = "otelcol_exporter_send_failed_log_records_total"
    eventually(lambda: pipeline.metric(name) == 1, SECONDS, "no refused line is counted")
    pipeline.answer(200)
    pipeline.write(line("after the refusal"))
    pipeline.arrived(line("after the refusal"))


def test_its_memory_stays_well_below_its_limit(pipeline):
    """After all of the above; the limit is that of the compose file, 256 MB."""
    assert pipeline.metric("otelcol_process_memory_rss_bytes") < 192 * MIB
