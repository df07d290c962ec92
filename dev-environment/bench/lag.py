"""The lag of an event loop: how late it runs due callbacks."""

import asyncio

PROBE_SECONDS = 0.002


class Lag:
    """A probe of the event loop that runs it."""

    def __init__(self) -> None:
        self._seen: list[float] = []

    async def probe(self) -> None:
        """Measure every two milliseconds, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            self._seen.append(loop.time() - due)

    def p99_ms(self) -> float:
        """The 99th percentile of the lag since the last call, in milliseconds."""
        seen, self._seen = sorted(self._seen), []
        return round(seen[int(len(seen) * 0.99)] * 1000, 2) if seen else 0.0
