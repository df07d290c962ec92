"""Twenty thousand lines a second from one process: the lag of its event loop, and the lines lost by a stop, a kill or a full disk."""

import json
import re
import time
from collections.abc import Callable

from bench import client
from bench.compare import LostError
from bench.processes import Process, Stage

RATE = 20_000
LINE = b'"line written"'


def run(stage: Stage, say: Callable[[str], None], *, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """The lag and the lost lines of each case. Raises `LostError` if a line is missing after SIGTERM."""
    say(f"{RATE} lines a second for {rounds * seconds:.0f} seconds, then SIGTERM")
    logger = stage.start_program("stopped", "bench.logger", str(RATE), ready="/")
    logger.get("/")
    begun, first = time.monotonic(), json.loads(logger.get("/"))
    time.sleep(rounds * seconds)
    last = json.loads(logger.get("/"))
    rate = (last["written"] - first["written"]) / (time.monotonic() - begun)
    logger.stop()
    written = json.loads((logger.folder / "console").read_text().splitlines()[-1])["written"]
    if (found := _lines(logger)) + last["dropped"] != written:
        raise LostError(f"{written} lines written, {found} in the files, {last['dropped']} dropped")
    result = {"stopped": {"lines_per_second": round(rate), "lag_p99_ms": last["lag_ms"], "lost": written - found}}

    say("the same, then SIGKILL")
    logger = stage.start_program("killed", "bench.logger", str(RATE), ready="/")
    time.sleep(seconds)
    known = json.loads(logger.get("/"))["written"]
    logger.kill()
    result["killed"] = {"lost_of_those_known_to_be_written": max(0, known - _lines(logger))}

    say("a full disk")
    folder = stage.folder / "full-disk"
    folder.mkdir()
    (folder / "combined.log").symlink_to("/dev/full")
    sink = stage.start_sink()
    server = stage.start_server("full-disk", sink, "ours")
    seen = client.load(server.port, "/items/7", connections=4, seconds=seconds)
    time.sleep(1)
    dropped = sum(float(value) for value in re.findall(r"(?m)^log_lines_dropped_total (\S+)", server.get("/metrics")))
    if dropped < seen.answers:
        raise LostError(f"full disk: {seen.answers} requests answered, only {dropped:.0f} lines counted as lost")
    server.stop()
    result["full_disk"] = {"answered": seen.answers, "failed": 0, "lines_counted_as_lost": int(dropped)}
    return result


def _lines(process: Process) -> int:
    return sum(path.read_bytes().count(LINE) for path in process.folder.glob("combined.log*"))
