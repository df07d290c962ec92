"""Ours under full load with a faulty collector: requests must not be affected, and every span must be accounted for."""

import re
import time
from collections.abc import Callable

from bench import client
from bench.compare import WARM_UP_SECONDS, LostError, Rounds
from bench.processes import Process, Sink, Stage
from bench.sink import BEHAVIOURS

PATH = "/items/7"
# Longer than the exporter waits for a silent collector, and than its longest pause between two attempts.
RECOVERY_SECONDS = 60


def run(stage: Stage, say: Callable[[str], None], *, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Medians by behaviour, with the numbers of exported and lost spans. Raises `LostError` for a span not accounted for."""
    sinks: dict[str, Sink] = {behaviour: stage.start_sink(f"sink-{behaviour}") for behaviour in BEHAVIOURS}
    servers = {behaviour: stage.start_server(behaviour, sink, "ours") for behaviour, sink in sinks.items()}
    measured = {behaviour: Rounds() for behaviour in sinks}
    answered = dict.fromkeys(sinks, 1)  # the request that showed that the server was ready
    for behaviour, sink in sinks.items():
        sink.be(behaviour)
        answered[behaviour] += Rounds().add(servers[behaviour], PATH, WARM_UP_SECONDS)
    for number in range(rounds):
        for behaviour, server in servers.items():
            say(f"round {number + 1} of {rounds}: {behaviour} collector")
            answered[behaviour] += measured[behaviour].add(server, PATH, seconds)
    result: dict[str, dict[str, float]] = {}
    for behaviour, server in servers.items():
        say(f"the collector ({behaviour}) recovers")
        result[behaviour] = measured[behaviour].medians() | _recover(server, sinks[behaviour].be, answered[behaviour])
    return result


def _recover(server: Process, be: Callable[[str], None], answered: int) -> dict[str, float]:
    """Let the collector recover; returns the seconds until spans arrive again, and the spans by what became of them."""
    before = spans_of(server)
    be("healthy")
    begun = time.monotonic()
    recovered = 0.0
    while True:
        # The collector must receive spans that end after its recovery; earlier ones may be lost.
        client.load(server.port, PATH, connections=1, seconds=0.05)
        now, waited = spans_of(server), time.monotonic() - begun
        if not recovered and now["exported"] > before["exported"]:
            recovered = waited
            break
        if waited > RECOVERY_SECONDS:
            raise LostError(
                f"{server.name}: no span has arrived {RECOVERY_SECONDS} seconds after the collector recovered"
            )
    ended = int(_total(server.get("/metrics"), r"http_requests_total\{.*\}"))
    while sum((now := spans_of(server)).values()) < ended and time.monotonic() - begun < RECOVERY_SECONDS:
        time.sleep(0.2)
    if sum(now.values()) != ended or ended < answered:
        raise LostError(f"{server.name}: {ended} spans ended, {answered} requests were answered, accounted for: {now}")
    return {**now, "recovered_s": round(recovered, 1)}


def spans_of(server: Process) -> dict[str, int]:
    """The spans of a server by what became of them: exported, or the reason of the loss."""
    page = server.get("/metrics")
    counted = {"exported": _total(page, "spans_exported_total")}
    for reason in ("queue_full", "export_failed", "shutdown"):
        counted[reason] = _total(page, rf'spans_dropped_total\{{reason="{reason}"\}}')
    return {name: int(value) for name, value in counted.items()}


def _total(page: str, series: str) -> float:
    return sum(float(value) for value in re.findall(rf"(?m)^{series} (\S+)", page))
