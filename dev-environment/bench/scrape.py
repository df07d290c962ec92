"""The cost of a scrape of two thousand sample lines, and its effect on the event loop."""

import json
import time
from collections.abc import Callable
from statistics import median

from bench.processes import Stage

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SCRAPES = 15


def run(stage: Stage, say: Callable[[str], None], *, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """By format: the sample lines, the milliseconds of a scrape, and the loop's lag with one scrape per second."""
    server = stage.start_server("scraped", stage.start_sink(), "ours_with_many_metrics")
    result: dict[str, dict[str, float]] = {}
    for name, accept in (("text", "text/plain"), ("openmetrics", OPENMETRICS)):
        say(f"{SCRAPES} scrapes as {name}, then one each second for {rounds * seconds:.0f} seconds")
        page, times = "", list[float]()
        for _ in range(SCRAPES):
            begun = time.perf_counter()
            page = server.get("/metrics", accept=accept)
            times.append((time.perf_counter() - begun) * 1000)
        server.get("/lag")
        for _ in range(round(rounds * seconds)):
            server.get("/metrics", accept=accept)
            time.sleep(1)
        samples = sum(1 for line in page.splitlines() if not line.startswith("#"))
        lag = json.loads(server.get("/lag"))
        result[name] = {"samples": samples, "answer_ms": round(median(times), 1), "lag_p99_ms": lag}
    return result
