"""The sender in the measurement of events, a separate process: `python -m bench_kit.sender COUNT`.

It commits the events, runs one relay of the kit until the outbox is empty, and prints how long both took.
"""

import asyncio
import json
import sys
from time import perf_counter

from bench_kit.commits import commit
from bench_kit.measured.main import Settings
from libs.observability import start
from libs.service_kit.client import ServiceClient
from libs.service_kit.database import create_engine
from libs.service_kit.events.flow import DEADLINE_SECONDS
from libs.service_kit.events.http import HttpTransport
from libs.service_kit.events.outbox import Outbox
from libs.service_kit.events.relay import Relay
from libs.service_kit.service_account import ServiceAccount
from libs.service_kit.settings import load
from libs.service_kit.transactions import create_sessions

SOURCE, DESTINATION = "budget-service", "system"


async def main(count: int) -> None:
    """Commit, relay, and print the seconds."""
    settings = load(Settings)
    start(settings.telemetry)
    engine = create_engine(settings.database)
    waker = asyncio.Event()
    sessions = create_sessions(engine, Outbox(SOURCE, lambda _: [DESTINATION]))
    begun = perf_counter()
    await commit(sessions, count)
    committed = perf_counter() - begun
    secret = settings.events.client_secret
    assert secret
    async with (
        ServiceClient("auth", settings.services.of("auth")) as auth,
        ServiceClient(DESTINATION, settings.services.of(DESTINATION), DEADLINE_SECONDS) as client,
    ):
        transport = HttpTransport({DESTINATION: client}, ServiceAccount(auth, SOURCE, secret.get_secret_value()))
        relay = Relay(settings.name, DESTINATION, sessions, transport, settings.events, waker)
        begun = perf_counter()
        while await relay.relay_batch():
            pass
        relayed = perf_counter() - begun
    await engine.dispose()
    print(json.dumps({"committed_seconds": committed, "relayed_seconds": relayed}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
