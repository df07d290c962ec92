"""How late an event loop runs what is due."""

import asyncio

PROBE_SECONDS = 0.002


class Lag:
    """A probe of the loop that it is started in."""

    def __init__(self) -> None:
        self._seen: list[float] = []

    async def probe(self) -> None:
        """Looks every two milliseconds, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            self._seen.append(loop.time() - due)

    def p99_ms(self) -> float:
        """Of everything seen since the last call."""
        seen, self._seen = sorted(self._seen), []
        return round(seen[int(len(seen) * 0.99)] * 1000, 2) if seen else 0.0
