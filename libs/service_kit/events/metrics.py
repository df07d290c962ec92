"""What every service counts and times of its events."""

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Histogram

from libs.contracts import EVENTS, SUBSCRIPTIONS, owners
from libs.observability.messaging import EventCounters

AGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

COUNTERS = EventCounters(
    published=Counter("events_published_total", "Events handed to the transport.", ("event_type",)),
    consumed=Counter("events_consumed_total", "Events handled.", ("event_type",)),
    failed=Counter("events_failed_total", "Events whose handling failed; each attempt counts.", ("event_type",)),
    age=Histogram(
        "event_age_seconds",
        "Time from an event to the commit of its effect, in seconds.",
        ("event_type",),
        buckets=AGES,
    ),
    handling=Histogram(
        "event_handling_seconds", "Duration of handling an event, failed attempts too, in seconds.", ("event_type",)
    ),
)
DEAD = Counter("events_dead_total", "Events given up after the last attempt", ["event_type", "destination"])


def begin_at_zero(service: str, destinations: Callable[[str], Iterable[str]]) -> None:
    """Create the series of the events that a service publishes and hears, since a rate misses the first event of a series."""
    for event_type in SUBSCRIPTIONS.get(service, ()):
        for metric in (COUNTERS.consumed, COUNTERS.failed, COUNTERS.age, COUNTERS.handling):
            metric.labels(event_type)
    for event_type in EVENTS:
        if service in owners(event_type):
            COUNTERS.published.labels(event_type)
            for destination in destinations(event_type):
                DEAD.labels(event_type, destination)
