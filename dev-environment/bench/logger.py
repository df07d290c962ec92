"""Writes lines at a steady rate and measures the lag of its event loop: `python -m bench.logger RATE`.

It listens on `PORT`: `GET /` returns the number of lines written and dropped, and the lag since the last request.
"""

import asyncio
import json
import os
import signal
import sys

from bench.lag import Lag
from libs.observability import get_logger, start
from libs.observability.metrics.families import LOG_LINES_DROPPED

TICK_SECONDS = 0.005

log = get_logger("bench.logger")


class Writer:
    """Writes, in each tick, the lines that the rate requires by then."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self.written = 0

    async def write(self) -> None:
        """Write until cancelled."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            due = min(int((loop.time() - begun) * self._rate) - self.written, self._rate // 20)
            for _ in range(due):
                self.written += 1
                log.info("line written", number=self.written, amount="12.50", account="0190b7a2")


async def main(rate: int) -> None:
    """Write and answer until SIGTERM."""
    telemetry = start()
    telemetry.lines.buffer()
    writer, lag, stop = Writer(rate), Lag(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        dropped = LOG_LINES_DROPPED.collect()
        total = sum(sample.value for family in dropped for sample in family.samples if sample.name.endswith("_total"))
        body = json.dumps({"written": writer.written, "lag_ms": lag.p99_ms(), "dropped": total}).encode()
        out.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        await out.drain()
        out.close()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(answer, "127.0.0.1", int(os.environ["PORT"]))
    tasks = [asyncio.create_task(writer.write()), asyncio.create_task(lag.probe())]
    await stop.wait()
    for task in tasks:
        task.cancel()
    server.close()
    telemetry.shutdown()
    print(json.dumps({"written": writer.written}), file=sys.stdout, flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
