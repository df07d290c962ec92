"""An event loop that runs late shows in a histogram."""

from prometheus_client import REGISTRY

from libs.observability.metrics.lag import measuring_loop_lag
from tests.fixtures.waiting import eventually_async


async def test_a_blocked_event_loop_shows():
    before = REGISTRY.get_sample_value("event_loop_lag_seconds_sum")
    count = REGISTRY.get_sample_value("event_loop_lag_seconds_count")

    async def is_measured() -> bool:
        return REGISTRY.get_sample_value("event_loop_lag_seconds_count") != count

    async with measuring_loop_lag():
        await eventually_async(is_measured, 10, "no lag has been measured")
    assert REGISTRY.get_sample_value("event_loop_lag_seconds_sum") > before
