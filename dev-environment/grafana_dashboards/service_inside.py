"""The lower half of Service: what the process uses, what it waits for, what it tells and hears."""

from grafana_dashboards.board import Panels, Rows
from grafana_dashboards.links import to_logs, to_traces
from grafana_dashboards.panels import Query, graph, query
from grafana_dashboards.promql import quantile, rate

PROCESS = 'job=~"$job", instance=~"$instance"'
FOLLOW = [to_traces("${job}"), to_logs("${job}")]


def inside() -> Rows:
    """The rows, with their headings."""
    return [("The process", process()), ("Database connections and calls", dependencies()), ("Events", events())]


def process() -> Panels:
    """What the process uses, and whether that is enough."""
    lag = quantile(0.99, "event_loop_lag_seconds", PROCESS, "instance")
    return [
        graph(
            "CPU",
            "Share of one core. A Python process uses no more than one, plus what runs on threads.",
            "percentunit",
            query(rate("process_cpu_seconds_total", PROCESS, "instance"), "{{instance}}"),
            width=6,
            limits=[(0.8, "red")],
        ),
        graph(
            "Memory",
            "Resident: what it takes from the machine.",
            "bytes",
            query(f"process_resident_memory_bytes{{{PROCESS}}}", "{{instance}}"),
            width=6,
        ),
        graph(
            "Event loop lag, 99 %",
            "How late the loop runs what is due. High: something blocks it, and every request waits.",
            "s",
            query(lag, "{{instance}}"),
            width=6,
            limits=[(0.1, "red")],
        ),
        graph(
            "Open files",
            "Share of the file descriptors that it may open; sockets count.",
            "percentunit",
            query(f"process_open_fds{{{PROCESS}}} / process_max_fds{{{PROCESS}}}", "{{instance}}"),
            width=6,
            top=1,
        ),
    ]


def dependencies() -> Panels:
    """What requests wait for: connections of the pool, and other services."""
    used = f"sum by (instance, pool, state) (db_pool_connections{{{PROCESS}}})"
    limit = f"sum by (instance, pool) (db_pool_limit{{{PROCESS}}})"
    state = f"max by (target, circuit_breaker_state) (circuit_breaker_state{{{PROCESS}}} == 1)"
    return [
        graph(
            "Connections of the pool",
            "All in use: requests wait for one. The limit is what the pool may open.",
            "short",
            query(used, "{{instance}} {{state}}"),
            query(limit, "{{instance}} limit"),
        ),
        graph(
            "Circuit breakers",
            "1 in the state that the breaker towards a service is in: closed is well.",
            "short",
            query(state, "{{target}} {{circuit_breaker_state}}"),
            top=1,
        ),
    ]


def events() -> Panels:
    """What goes out through the outbox, what comes in, what is lost."""

    def per_type(metric: str) -> Query:
        return query(rate(metric, PROCESS, "event_type"), "{{event_type}}")

    dead = f"sum by (event_type, destination) (increase(events_dead_total{{{PROCESS}}}[$__rate_interval]))"
    return [
        graph(
            "Published",
            "Handed to the transport per second.",
            "eps",
            per_type("events_published_total"),
            width=6,
            stacked=True,
        ),
        graph(
            "Handled",
            "Events of others that were handled, per second.",
            "eps",
            per_type("events_consumed_total"),
            width=6,
            stacked=True,
        ),
        graph(
            "Failed attempts",
            "Per second. A failed event is tried again, with growing pauses.",
            "eps",
            per_type("events_failed_total"),
            width=6,
            links=FOLLOW,
        ),
        graph(
            "Given up",
            "Events that nobody will try again: the operator lists and replays them.",
            "short",
            query(dead, "{{event_type}} to {{destination}}"),
            width=6,
            links=FOLLOW,
        ),
        graph(
            "Unsent events",
            "Rows waiting in the outbox.",
            "short",
            query(f"max by (destination) (outbox_unsent_rows{{{PROCESS}}})", "{{destination}}"),
            width=8,
        ),
        graph(
            "Oldest unsent event",
            "How long it has been waiting.",
            "s",
            query(f"max by (destination) (outbox_oldest_unsent_seconds{{{PROCESS}}})", "{{destination}}"),
            width=8,
            limits=[(120, "red")],
        ),
        graph(
            "Connected to the broker",
            "1 while it is. Without a broker, when events go by HTTP, there is nothing to show.",
            "short",
            query(f"max by (instance) (broker_connected{{{PROCESS}}})", "{{instance}}"),
            width=8,
            top=1,
        ),
    ]
