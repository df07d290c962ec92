"""An event loop that runs late shows in a histogram."""

import asyncio

from prometheus_client import REGISTRY

from libs.observability.metrics.lag import measuring_loop_lag


async def test_a_blocked_event_loop_shows():
    before = REGISTRY.get_sample_value("event_loop_lag_seconds_sum")
    count = REGISTRY.get_sample_value("event_loop_lag_seconds_count")
    async with measuring_loop_lag():
        while REGISTRY.get_sample_value("event_loop_lag_seconds_count") == count:
            await asyncio.sleep(0.01)
    assert REGISTRY.get_sample_value("event_loop_lag_seconds_sum") > before
