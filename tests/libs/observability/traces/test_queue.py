"""Every span that ends is exported or counted as lost, whatever the collector does, and nobody waits for it."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import REGISTRY

from libs.observability.fast.otlp import encode
from libs.observability.fast.sender import FastExporter
from libs.observability.traces.provider import Provider
from libs.observability.traces.queue import SpanQueue, positive_integer_variable
from tests.libs.observability.receivers import decode_otlp, http_collector

SERIES = {
    "exported": ("spans_exported_total", {}),
    "queue_full": ("spans_dropped_total", {"reason": "queue_full"}),
    "export_failed": ("spans_dropped_total", {"reason": "export_failed"}),
    "shutdown": ("spans_dropped_total", {"reason": "shutdown"}),
}


class Exporter(SpanExporter):
    """Answers what a test wants, once it is let go."""

    def __init__(self, answer: SpanExportResult | Exception, *, held: bool = False) -> None:
        self.answer = answer
        self.entered, self.free = threading.Event(), threading.Event()
        if not held:
            self.free.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.free.wait(20)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def counted() -> Callable[[], dict[str, float]]:
    """What has been counted since: `counted()`."""

    def now() -> dict[str, float]:
        return {name: REGISTRY.get_sample_value(*series) or 0.0 for name, series in SERIES.items()}

    before = now()
    return lambda: {name: value - before[name] for name, value in now().items() if value != before[name]}


def provider_of(exporter: SpanExporter, *prepare: Any, **sampling: Any) -> tuple[Provider, SpanQueue]:
    queue = SpanQueue(exporter, *prepare)
    return Provider(Resource({}), queues=[queue], **sampling), queue


def end_spans(provider: Provider, count: int) -> None:
    tracer = provider.get_tracer("test")
    for _ in range(count):
        tracer.start_span("span").end()


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (SpanExportResult.SUCCESS, "exported"),
        (SpanExportResult.FAILURE, "export_failed"),
        (ConnectionError("refused"), "export_failed"),
    ],
)
def test_every_span_is_counted_by_the_exporters_answer(counted, answer, name):
    provider, queue = provider_of(Exporter(answer))
    end_spans(provider, 700)
    assert queue.force_flush()
    provider.shutdown()
    assert counted() == {name: 700}


def test_a_full_queue_drops_the_new_spans_and_counts_them(counted, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    exporter = Exporter(SpanExportResult.SUCCESS, held=True)
    provider, _ = provider_of(exporter)
    end_spans(provider, 5)
    assert exporter.entered.wait(10)
    end_spans(provider, 50)
    assert counted() == {"queue_full": 30}
    exporter.free.set()
    provider.shutdown()
    assert counted() == {"queue_full": 30, "exported": 25}


def test_a_small_queue_is_emptied_long_before_it_is_full(counted, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    monkeypatch.delenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", raising=False)
    exporter = Exporter(SpanExportResult.SUCCESS)
    provider, _ = provider_of(exporter)
    end_spans(provider, 25)
    assert exporter.entered.wait(10)
    provider.shutdown()
    assert counted() == {"exported": 25}


def test_a_span_that_cannot_be_encoded_is_counted_and_fails_nobody(counted):
    provider, _ = provider_of(Exporter(SpanExportResult.SUCCESS), encode)
    provider.get_tracer("test").start_span("span").end(-1)
    provider.shutdown()
    assert counted() == {"export_failed": 1}


def test_the_end_does_not_wait_for_a_collector_that_hangs(counted, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    exporter = Exporter(SpanExportResult.SUCCESS, held=True)
    provider, queue = provider_of(exporter)
    end_spans(provider, 8)
    assert exporter.entered.wait(10)
    assert not queue.force_flush(10)
    queue.shutdown()
    assert not exporter.free.is_set()
    assert counted() == {"shutdown": 8}
    end_spans(provider, 1)
    assert counted() == {"shutdown": 9}
    exporter.free.set()


def test_a_span_that_is_being_encoded_while_the_queue_stops_is_counted(counted):
    encoding, stopped = threading.Event(), threading.Event()

    def prepare(span: Any) -> Any:
        encoding.set()
        assert stopped.wait(10)
        return span

    provider, queue = provider_of(Exporter(SpanExportResult.SUCCESS), prepare)
    with ThreadPoolExecutor() as threads:
        late = [threads.submit(end_spans, provider, 1) for _ in range(3)]
        assert encoding.wait(10)
        queue.shutdown()
        stopped.set()
    assert [each.result() for each in late] == [None] * 3
    assert counted() == {"shutdown": 3}


def test_a_queue_that_is_stopped_while_it_encodes_a_span_counts_each_once(counted):
    queues: list[SpanQueue] = []

    def prepare(span: Any) -> Any:
        if span.name == "last":
            queues[0].shutdown()
        return span

    provider, queue = provider_of(Exporter(SpanExportResult.SUCCESS), prepare)
    queues.append(queue)
    end_spans(provider, 4)
    provider.get_tracer("test").start_span("last").end()
    assert counted() == {"exported": 4, "shutdown": 1}


class Contested(deque[Any]):
    """Whenever somebody has read its length, somebody else takes the last item."""

    taken = 0

    def __len__(self) -> int:
        length = super().__len__()
        if length:
            self.pop()
            self.taken += 1
        return length


def test_a_batch_that_loses_spans_to_another_thread_is_exported_and_counted_as_it_is(counted, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    provider, queue = provider_of(Exporter(SpanExportResult.SUCCESS))
    end_spans(provider, 4)
    contested = Contested(queue._waiting)
    monkeypatch.setattr(queue, "_waiting", contested)
    assert queue.force_flush()
    queue.shutdown()
    assert counted() == {"exported": 4 - contested.taken}


class Waiting(SpanExporter):
    """Hangs until the other one is told to stop, or to export."""

    def __init__(self, until: str) -> None:
        self.until = until
        self.other = self
        self.heard = {"export": threading.Event(), "shutdown": threading.Event()}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.heard["export"].set()
        return SpanExportResult.SUCCESS if self.other.heard[self.until].wait(20) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.heard["shutdown"].set()


@pytest.fixture
def two_queues(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Provider]:
    """A provider with two exporters, each of which hangs until the other one hears this."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    monkeypatch.setattr("libs.observability.traces.queue.STOP_SECONDS", 0.1)

    def make(until: str) -> Provider:
        first, second = Waiting(until), Waiting(until)
        first.other, second.other = second, first
        return Provider(Resource({}), queues=[SpanQueue(first), SpanQueue(second)])

    return make


@pytest.mark.parametrize("until", ["export", "shutdown"])
def test_all_queues_of_a_provider_stop_side_by_side(counted, two_queues, until):
    provider = two_queues(until)
    end_spans(provider, 3)
    provider.shutdown()
    assert counted() == {"exported": 6}


def test_all_queues_of_a_provider_are_flushed_side_by_side(counted, two_queues):
    provider = two_queues("export")
    end_spans(provider, 3)
    assert provider.force_flush(10_000)
    assert counted() == {"exported": 6}
    provider.shutdown()


def test_queues_stop_side_by_side_at_the_end_of_a_program_which_may_start_no_thread_in_python_3_12(run):
    result = run(
        "import atexit, threading\n"
        "from opentelemetry.sdk.resources import Resource\n"
        "from libs.observability.traces.provider import Provider\n"
        "from libs.observability.traces import queue\n"
        "queue.STOP_SECONDS = 20\n"
        "both = threading.Barrier(2, timeout=10)\n"
        "class Exporter:\n"
        "    def export(self, spans): both.wait(); print('exported', flush=True)\n"
        "    def shutdown(self): ...\n"
        "provider = Provider(Resource({}), queues=[queue.SpanQueue(Exporter()) for _ in range(2)])\n"
        "atexit.register(provider.shutdown)\n"
        "provider.get_tracer('program').start_span('last').end()",
        OTEL_BSP_SCHEDULE_DELAY="600000",
    )
    assert result.stdout == "exported\n" * 2, result.stderr


def test_an_exporter_that_cannot_be_stopped_is_one_warning_and_the_others_stop(
    counted, two_queues, caplog, monkeypatch
):
    def refuse(_: SpanExporter) -> None:
        raise ConnectionError("refused")

    provider = two_queues("export")
    end_spans(provider, 3)
    monkeypatch.setattr(Waiting, "shutdown", refuse)
    provider.shutdown()
    assert counted() == {"exported": 6}
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_a_span_that_is_not_sampled_is_no_loss(counted):
    provider, _ = provider_of(Exporter(SpanExportResult.SUCCESS), sampler=ALWAYS_OFF)
    end_spans(provider, 3)
    provider.shutdown()
    assert counted() == {}


def test_all_that_ends_is_exported_or_counted_as_lost_whatever_the_collector_does(counted, monkeypatch):
    """The whole way of a request's span: made, encoded and queued by us, over HTTP."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "150")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with http_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        provider, queue = provider_of(FastExporter(), encode)
        tracer = provider.get_tracer("test")
        received: list[str] = []
        before_it = sys.getswitchinterval()
        for status in (200, 400, 200):
            collector.status, before = status, len(collector.requests)
            sys.setswitchinterval(60)  # the queue's thread does not run before all have ended
            for _ in range(150):
                tracer.start_span(f"span {status}").end()
            sys.setswitchinterval(before_it)
            assert queue.force_flush()
            if status == 200:
                received += [name for _, _, body in collector.requests[before:] for name in decode_otlp(body)]
    tracer.start_span("nobody listens any more").end()
    monkeypatch.setattr("libs.observability.traces.queue.STOP_SECONDS", 0.1)
    provider.shutdown()
    tracer.start_span("too late").end()
    lost = counted()
    assert lost.pop("exported") == len(received) == 200
    assert lost == {"queue_full": 150, "export_failed": 101, "shutdown": 1}
    assert sum(lost.values()) + len(received) == 3 * 150 + 2


def test_a_forked_process_exports_its_own_spans_and_not_its_parents(run):
    with http_collector() as collector:
        result = run(
            "import os, sys\n"
            "from libs.observability import start\nfrom opentelemetry import trace\n"
            "telemetry = start(); tracer = trace.get_tracer('program')\n"
            "tracer.start_span('parent').end()\n"
            "if os.fork() == 0: tracer.start_span('child').end(); telemetry.shutdown(); os._exit(0)\n"
            "os.wait(); telemetry.shutdown()",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="60000",
        )
    assert result.returncode == 0, result.stderr
    assert [decode_otlp(body) for _, _, body in collector.requests] == [["child"], ["parent"]]


@pytest.mark.parametrize("given", ["0", "-1", "many"])
def test_a_size_that_is_none_is_one_warning_and_the_default(caplog, monkeypatch, given):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", given)
    assert positive_integer_variable("OTEL_BSP_MAX_QUEUE_SIZE", 7) == 7
    assert [record.levelname for record in caplog.records] == ["WARNING"]
