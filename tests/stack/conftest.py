"""Fixtures for a stack that runs: its settings, its parts, the traffic on it, and the signals that result.

Tests of a part that does not run are skipped with its name. The services have to run: without them the run ends.
"""

import socket
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import pytest
from stack import environment
from stack import mode as remembered
from stack.docker import engine, parts
from stack.kubernetes import parts as kubernetes_parts
from stack.kubernetes import verbs as kubernetes
from stack.local import compose, supervisor
from stack.local import verbs as local
from stack.services import SERVICES
from stack.settings import Settings, read
from stack.watch.logs import Line
from stack.watch.traces import Span

from libs.journey.client import Api, Unreachable
from tests.fixtures.strict import missing
from tests.stack import backends, signals, traffic
from tests.stack.backends import BackEnd
from tests.stack.measured import PROFILES, SETTLED_SECONDS, Measured, skip_without
from tests.stack.traffic import Traffic

# The values of `messaging.system` in spans, by mode.
TRANSPORTS = {"local": "http", "docker": "rabbitmq", "kubernetes": "rabbitmq"}


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings that `make up` has used."""
    return read()


@pytest.fixture(scope="session")
def announce(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Print a line at once, past pytest's capture, so that nobody wonders what takes so long."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def line(message: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{message}", flush=True)

    return line


@pytest.fixture(scope="session")
def api(settings: Settings) -> Iterator[Api]:
    """The public API of the five services; the run ends if they do not answer."""
    api = Api({each.short: environment.url(each, settings) for each in SERVICES})
    try:
        api.check_ready()
    except Unreachable as error:
        pytest.exit(str(error), returncode=1)
    yield api
    api.close()


@pytest.fixture(scope="session", autouse=True)
def made(api: Api, settings: Settings, announce: Callable[[str], None]) -> Traffic:
    """The traffic, made once and before everything else."""
    announce("Playing the journey of two tenants, and what goes wrong for them")
    return traffic.make(api, settings.values)


@pytest.fixture(scope="session")
def mode(settings: Settings) -> str:
    """`local`, `kubernetes` or `docker`, whichever mode the services run in."""
    others = {"local": local, "kubernetes": kubernetes}
    return next((name for name, verbs in others.items() if verbs.is_running(settings)), "docker")


@pytest.fixture(scope="session")
def running(mode: str, settings: Settings) -> set[str] | None:
    """What runs of the stack, by the names of the compose files; None if in Docker mode no engine answers."""
    if mode == "local":
        known = supervisor.states(settings)
        return {name for name, each in known.items() if each["statename"] in ("STARTING", "RUNNING")}
    if mode == "kubernetes":
        return set(kubernetes.names(settings))
    return None if engine.why_unavailable() else engine.running()


@pytest.fixture(scope="session")
def left_out(mode: str, settings: Settings) -> set[str]:
    """The containers of a profile that PARTS does not name; in a cluster the Collector comes with Elasticsearch."""
    chosen = remembered.parts(settings)
    if mode == "kubernetes":
        return PROFILES - kubernetes_parts.chosen(chosen)
    if mode == "local" or engine.why_unavailable():
        return PROFILES
    return PROFILES - set(parts.chosen(chosen, engine.model()))


@pytest.fixture(scope="session")
def address(mode: str, settings: Settings) -> Callable[[str], str]:
    """Where Prometheus finds an address of the compose files: there or, in local mode, on a port of this machine."""
    local = {f"{each.container}:{each.number}": settings.port(each.variable) for each in compose.ports()}

    def found(given: str) -> str:
        return given if mode != "local" else f"127.0.0.1:{local[given]}"

    return found


def client_of(back_end: BackEnd, name: str) -> Callable[..., Iterator[httpx.Client]]:
    """Make a fixture: a client of a back end, if that runs."""

    @pytest.fixture(scope="session", name=name)
    def given(settings: Settings) -> Iterator[httpx.Client]:
        with backends.client(back_end, settings) as client:
            yield client

    return given


prometheus = client_of(backends.PROMETHEUS, "prometheus")
alertmanager = client_of(backends.ALERTMANAGER, "alertmanager")
jaeger = client_of(backends.JAEGER, "jaeger")
elasticsearch = client_of(backends.ELASTICSEARCH, "elasticsearch")
kibana = client_of(backends.KIBANA, "kibana")


@pytest.fixture(scope="session")
def loki(settings: Settings, left_out: set[str]) -> Iterator[httpx.Client]:
    """A client of Loki, if PARTS names it."""
    skip_without({"loki"} & left_out, left_out)
    with backends.client(backends.LOKI, settings) as client:
        yield client


@pytest.fixture(scope="session")
def grafana(mode: str, running: set[str] | None, settings: Settings) -> Iterator[httpx.Client]:
    """A client of Grafana as its administrator, if Grafana runs; without it, the page of local mode has its port."""
    if mode == "local" and "grafana" not in (running or ()):
        missing("Grafana does not run")
    login = ("admin", settings.values["GRAFANA_ADMIN_PASSWORD"])
    with backends.client(backends.GRAFANA, settings, login) as client:
        yield client


@pytest.fixture(scope="session")
def logstash(settings: Settings) -> tuple[str, int]:
    """The address at which Logstash takes JSON lines, if it runs. Its HTTP API is not published."""
    address = ("127.0.0.1", settings.port("LOGSTASH_PORT"))
    with socket.socket() as probe:
        probe.settimeout(backends.ANSWER_SECONDS)
        if probe.connect_ex(address):
            missing(f"Logstash does not answer at {address[0]}:{address[1]}")
    return address


@pytest.fixture(scope="session")
def shipped(mode: str, request: pytest.FixtureRequest) -> None:
    """Log lines get to Elasticsearch: by Logstash or, in a cluster, by what comes with Elasticsearch."""
    request.getfixturevalue("elasticsearch" if mode == "kubernetes" else "logstash")


@pytest.fixture(scope="session")
def measured(
    prometheus: httpx.Client,
    running: set[str] | None,
    left_out: set[str],
    made: Traffic,
    api: Api,
    settings: Settings,
    announce: Callable[[str], None],
) -> Measured:
    """Prometheus, which has scraped the first traffic and is about to scrape the second.

    A rate needs two samples of a series that differ, and the first traffic of a new stack gives only one. So the same
    traffic is made again after every service has been scraped.
    """
    measured = Measured(prometheus, running, left_out)
    announce("Waiting until Prometheus has scraped the services, which it does every 15 seconds; then the same again")
    measured.wait_for_scrape(made.ended)
    measured.settle(traffic.make(api, settings.values).ended + SETTLED_SECONDS)
    announce(f"The tests wait up to {SETTLED_SECONDS:.0f} seconds for what Prometheus does not show yet")
    return measured


@pytest.fixture(scope="session")
def read_spans(mode: str, settings: Settings, request: pytest.FixtureRequest) -> Callable[[str], list[Span]]:
    """The spans of a trace so far."""
    if mode == "local":
        return partial(signals.spans_in_files, settings)
    return partial(signals.spans_in_jaeger, request.getfixturevalue("jaeger"))


@pytest.fixture(scope="session")
def read_lines(
    mode: str,
    running: set[str] | None,
    left_out: set[str],
    settings: Settings,
    request: pytest.FixtureRequest,
) -> Callable[[str], list[Line]]:
    """The log lines of a trace so far."""
    if mode == "local":
        return partial(signals.lines_in_files, settings)
    if "loki" not in left_out and "elasticsearch" not in (running or ()):
        return partial(signals.lines_in_loki, request.getfixturevalue("loki"))
    request.getfixturevalue("shipped")
    return partial(signals.lines_in_elasticsearch, request.getfixturevalue("elasticsearch"))


@pytest.fixture(scope="session")
def transport(mode: str) -> str:
    """How events travel, as spans name it."""
    return TRANSPORTS[mode]
