"""The page's numbers are those of the services' own /metrics, through restarts, silence and pages that are none."""

import http.server
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from page.reading.history import STEP_SECONDS, History
from page.reading.increases import Increases
from page.reading.metrics import Metrics, Numbers
from page.reading.openmetrics import families, samples
from page.reading.quantiles import quantile
from page.reading.scrape import NAMES
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import MetricsHandler, choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from registry import entries
from stack.ports import free_port

from libs.observability.metrics.http import HttpMetrics
from tests.fixtures.serving import serving

AUTH = "auth-service"
ROUTE = "GET /users/{id}"


class Service:
    """What a service shows at its port, made by the services' own families."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Begin to answer, with counters that begin at nothing."""
        self.registry = CollectorRegistry()
        self.http = HttpMetrics(self.registry)
        self.http.declare("/users/{id}", "GET")
        ProcessCollector(registry=self.registry)
        self.running = ExitStack()
        server = http.server.HTTPServer(("127.0.0.1", self.port), MetricsHandler.factory(self.registry))
        self.running.enter_context(serving(server))

    def stop(self) -> None:
        """Answer nothing."""
        self.running.close()

    def serve(self, seconds: float, status: int = 200, handler: str = "/users/{id}", trace: int | None = None) -> None:
        """Count a request."""
        self.http.observe(self.http.series(handler, "GET", status), seconds, 1_795_865_162.5, trace)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def metrics(service: Service) -> Metrics:
    return Metrics({AUTH: service.port})


async def test_before_the_second_look_there_is_no_rate_yet(service, metrics):
    assert metrics.numbers(AUTH) == Numbers()
    service.serve(0.1)
    service.serve(0.1, handler="/roles")
    service.serve(0.1, handler="/roles")
    await metrics.read()
    now = metrics.numbers(AUTH)
    assert (now.rate, now.error_ratio, now.p50, now.p95) == (None, None, None, None)
    assert [(each.route, each.count, each.rate) for each in metrics.routes(AUTH)] == [
        ("GET /roles", 2, None),
        (ROUTE, 1, None),
    ]


async def test_requests_errors_and_durations_are_those_since_the_first_look(service, metrics):
    service.serve(9.0, 500)
    await metrics.read()
    for status, seconds in ((200, 0.02), (200, 0.02), (404, 0.02), (500, 0.2)):
        service.serve(seconds, status)
    service.serve(0.02, handler="/roles")
    await metrics.read()
    now = metrics.numbers(AUTH)
    assert now.rate > 0
    assert now.error_ratio == pytest.approx(1 / 5)
    assert 0.01 < now.p50 <= 0.025
    assert 0.1 < now.p95 <= 0.25
    first, second = metrics.routes(AUTH)
    assert (first.route, first.count, first.error_ratio) == (ROUTE, 5, pytest.approx(1 / 4))
    assert (second.route, second.count, second.error_ratio) == ("GET /roles", 1, 0)
    assert first.rate == pytest.approx(4 * second.rate)
    assert second.p95 <= 0.025


async def test_a_service_without_requests_has_a_rate_of_zero_and_no_quantiles(metrics):
    await metrics.read()
    await metrics.read()
    now = metrics.numbers(AUTH)
    assert (now.rate, now.error_ratio, now.p50) == (0, None, None)
    assert now.memory is None or now.memory > 1_000_000


async def test_a_process_without_requests_at_all_has_no_rate(service, metrics):
    service.registry.unregister(service.http)
    await metrics.read()
    await metrics.read()
    assert metrics.numbers(AUTH).rate is None
    assert metrics.routes(AUTH) == []


async def test_what_a_process_holds_is_shown_as_its_gauges_say(service, metrics):
    pools = Gauge("db_pool_connections", "", ("pool", "state"), registry=service.registry)
    limit = Gauge("db_pool_limit", "", ("pool",), registry=service.registry)
    for pool in ("app", "relay"):
        pools.labels(pool, "in_use").set(2)
        pools.labels(pool, "idle").set(7)
        limit.labels(pool).set(10)
    unsent = Gauge("outbox_unsent_rows", "", ("destination",), registry=service.registry)
    unsent.labels("budget").set(3)
    unsent.labels("tenant").set(4)
    dead = Counter("events_dead_total", "", ("event_type", "destination"), registry=service.registry)
    dead.labels("user.created.v1", "budget").inc()
    logins = Counter("auth_login", "", ("status",), registry=service.registry)
    logins.labels("success").inc(5)
    logins.labels("failure").inc(2)
    lag = Histogram("event_loop_lag_seconds", "", buckets=(0.01, 0.1), registry=service.registry)
    await metrics.read()
    lag.observe(0.05)
    await metrics.read()
    now = metrics.numbers(AUTH)
    assert (now.pool_used, now.pool_size, now.waiting, now.dead) == (4, 20, 7, 1)
    assert now.logins == {"success": 5, "failure": 2}
    assert 0.01 < now.lag <= 0.1
    for what, value in (("pool", 4), ("waiting", 7)):
        assert [point for _, point in metrics.history(AUTH, what)] == [value]


async def test_a_process_that_is_started_again_counts_from_nothing(service, metrics):
    for _ in range(10):
        service.serve(0.1)
    await metrics.read()
    service.stop()
    await metrics.read()
    assert metrics.numbers(AUTH) == Numbers()
    assert metrics.families(AUTH) == metrics.routes(AUTH) == []
    service.start()
    service.serve(0.1, 500)
    await metrics.read()
    assert metrics.numbers(AUTH).error_ratio == 1
    assert metrics.routes(AUTH)[0].count == 1


async def test_exemplars_lead_to_their_traces_and_are_kept_when_others_take_their_place(service, metrics, monkeypatch):
    monkeypatch.setattr("page.reading.metrics.HOUR", math.inf)
    service.serve(0.3, trace=0xABC)
    await metrics.read()
    service.serve(0.4, trace=0xDEF)
    service.serve(0.4, handler="/roles", trace=0x123)
    await metrics.read()
    found = metrics.exemplars(AUTH)
    assert {(each.trace_id[-3:], each.seconds, each.route) for each in found} == {
        ("abc", 0.3, ROUTE),
        ("def", 0.4, ROUTE),
        ("123", 0.4, "GET /roles"),
    }
    assert found[0].time == 1_795_865_162.5
    assert [each.trace_id[-3:] for each in metrics.exemplars(AUTH, "GET /roles")] == ["123"]


async def test_exemplars_of_more_than_an_hour_ago_are_dropped(service, metrics):
    service.http.observe(service.http.series("/x", "GET", 200), 0.1, 1.0, 0xABC)
    await metrics.read()
    assert metrics.exemplars(AUTH) == []


async def test_every_family_is_shown_with_its_help_type_and_unit(service, metrics):
    odd = 'a"b\\c\nd} 5 # {x="y"} 1'
    Gauge("g_bytes", 'He said "hi" \\ \nnew', ("l",), registry=service.registry).labels(odd).set(7)
    await metrics.read()
    found = {family.name: family for family in metrics.families(AUTH)}
    assert list(found) == sorted(found)
    gauge = found["g_bytes"]
    assert (gauge.type, gauge.unit, gauge.help) == ("gauge", "bytes", 'He said "hi" \\ \nnew')
    assert [(sample.labels, sample.value) for sample in gauge.samples] == [({"l": odd}, 7)]
    assert found["http_requests_total"].type == "counter"
    durations = found["http_request_duration_seconds"]
    assert (durations.type, durations.unit) == ("histogram", "seconds")
    assert {sample.name.removeprefix("http_request_duration_seconds") for sample in durations.samples} == {
        "_bucket",
        "_count",
        "_sum",
    }


def test_a_page_is_read_as_its_own_library_reads_it(service):
    service.serve(0.3, trace=0xABC)
    Gauge("nobody_yet", "Has no sample", ("who",), registry=service.registry)
    Gauge("g", "", ("l",), registry=service.registry).labels("# TYPE none gauge").set(1)
    for registry in (REGISTRY, service.registry):
        page = choose_encoder("application/openmetrics-text")[0](registry).decode()
        theirs = list(text_string_to_metric_families(page))
        # As texts, since a value that is no number is not equal to itself.
        assert [(each.name, each.labels, str(each.value)) for each in samples(page)] == [
            (each.name, each.labels, str(each.value)) for family in theirs for each in family.samples
        ]
        ours = families(page)
        assert {(each.type, each.help) for each in ours} == {(each.type, each.documentation) for each in theirs}
        assert len(ours) == len(theirs)


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers every request with the same bytes."""

    def __init__(self, status: int, body: bytes, *arguments: object) -> None:
        self.status, self.body = status, body
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def answer() -> Iterator[Callable[[int, bytes], int]]:
    """Starts a server that is none of ours; returns its port: `answer(200, b"...")`."""
    with ExitStack() as running:

        def start(status: int, body: bytes) -> int:
            server = http.server.HTTPServer(("127.0.0.1", 0), partial(Answer, status, body))
            running.enter_context(serving(server))
            return server.server_port

        yield start


GARBAGE = b"""\
http_request_duration_seconds_bucket{handler="/x",le="no number",method="GET"} 7
http_request_duration_seconds_bucket{handler="/x",le="+Inf",method="GET"} NaN
http_requests_total{handler="/x" 5
http_requests_total{handler="/x"} many
http_requests_total 5
db_pool_limit{ 5
# TYPE
# HELP outbox_unsent_rows
outbox_unsent_rows{destination="x"} 1e999
process_start_time_seconds -Inf
\xff\xfe\x00
"""


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, GARBAGE), (200, b"<html>" + b"x{" * 100_000), (200, b""), (500, b""), (204, b""), (404, b"{}")],
)
async def test_an_answer_that_is_no_page_of_metrics_is_no_obstacle(answer, status, body):
    metrics = Metrics({AUTH: answer(status, body)})
    await metrics.read()
    await metrics.read()
    metrics.numbers(AUTH)
    metrics.routes(AUTH)
    metrics.families(AUTH)
    assert metrics.exemplars(AUTH) == []
    assert all(math.isnan(value) for _, value in metrics.history(AUTH, "p95"))


def test_what_is_read_has_the_names_that_services_emit():
    emitted = {entry.name for entry in entries() if entry.section == "metrics"}
    assert {name.removesuffix("_bucket") for name in NAMES} - emitted == set()


def test_a_quantile_is_estimated_as_prometheus_does():
    bounds = [0.1, 0.2, 0.4]
    assert quantile(0.5, bounds, [0, 0, 0, 0]) is None
    assert quantile(0.5, bounds, []) is None
    assert quantile(0.5, bounds, [10, 0, 0, 0]) == pytest.approx(0.05)
    assert quantile(0.5, bounds, [5, 5, 0, 0]) == pytest.approx(0.1)
    assert quantile(0.75, bounds, [5, 5, 0, 0]) == pytest.approx(0.15)
    assert quantile(0.95, bounds, [5, 0, 0, 5]) == 0.4


def test_increases_are_added_up_over_half_a_minute_and_a_reset_loses_none():
    counted: Increases[str] = Increases()
    counted.look(0, 1.0, {"a": [100, 10]})
    assert counted.of("a") is None
    counted.look(10, 1.0, {"a": [105, 11], "new": [3]})
    assert (counted.of("a"), counted.of("new"), counted.seconds) == ([5, 1], [3], 10)
    counted.look(20, 2.0, {"a": [200, 20]})  # another process, which has counted more already
    assert counted.of("a") == [205, 21]
    counted.look(30, 2.0, {"a": [7, 20]})  # and one of which only its counters tell
    assert (counted.of("a"), counted.seconds) == ([212, 41], 30)
    counted.look(45, 2.0, {"a": [8, 20]})
    assert (counted.of("a"), counted.seconds) == ([208, 40], 35)
    counted.look(60, 2.0, {"a": [9, 20, 1]})  # other buckets
    assert counted.of("a") == [9, 20, 1]
    assert counted.of("unknown") is None


def test_what_a_new_process_has_counted_is_of_its_own_time_and_not_of_the_outage_before_it():
    counted: Increases[str] = Increases()
    counted.look(0, 1.0, {"a": [100]})
    counted.look(600, 599.0, {"a": [100]}, age=2.0)
    assert (counted.of("a"), counted.seconds) == ([100], 2)
    counted.look(605, 599.0, {"a": [110]}, age=7.0)
    assert (counted.of("a"), counted.seconds) == ([110], 7)
    counted.look(610, 609.0, {"a": [1]}, age=-3.0)  # a clock that was set back
    assert (counted.of("a"), counted.seconds) == ([111], 8)


def test_an_hour_of_points_is_kept_without_what_is_not_known_unless_nothing_is():
    history: History[str] = History()
    for second in range(0, 4000, 5):
        history.add(second, {"a": second} if second % 2 else {"a": None, "b": 1.5})
    assert history.points("a")[0][0] >= 3995 - 3600
    assert history.points("a")[-1] == (3995, 3995)
    assert {value for _, value in history.points("b")} == {1.5}
    assert history.points("c") == []
    history.add(3995 + STEP_SECONDS / 2, {"a": 0.0})  # too close to the last
    assert history.points("a")[-1] == (3995, 3995)
    history.add(4005, {"a": None, "b": 1.0})
    history.add(4010, {})
    assert [time for time, value in history.points("a") if math.isnan(value)] == [4010]
    assert history.points("c") == []
    history.add(4020, {"a": 7.0})
    history.add(4021, {})  # where an outage begins and ends is not too close
    history.add(4022, {})
    history.add(4023, {"a": 8.0})
    history.add(4024, {"a": 9.0})
    assert [time for time, value in history.points("a") if math.isnan(value)] == [4010, 4021]
    assert history.points("a")[-1] == (4023, 8.0)
    history.add(10, {"a": 1.0})  # a clock that was set back
    assert history.points("a")[-1] == (10, 1)
