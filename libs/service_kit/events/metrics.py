"""What every service counts of its events."""

from prometheus_client import Counter

from libs.observability.messaging import EventCounters

COUNTERS = EventCounters(
    published=Counter("events_published_total", "Events handed to the transport.", ("event_type",)),
    consumed=Counter("events_consumed_total", "Events handled.", ("event_type",)),
    failed=Counter("events_failed_total", "Events whose handling failed; each attempt counts.", ("event_type",)),
)
