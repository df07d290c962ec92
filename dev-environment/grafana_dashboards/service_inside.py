"""The lower half of Service: the process, its database connections and calls, its events."""

from grafana_dashboards.board import Panels, Rows
from grafana_dashboards.links import signals_of
from grafana_dashboards.panels import Query, graph, query
from grafana_dashboards.promql import quantile, rate

PROCESS = 'job=~"$job", instance=~"$instance"'
FOLLOW = signals_of("${job}")


def inside() -> Rows:
    """The rows, with their headings."""
    return [("The process", process()), ("Database connections and calls", dependencies()), ("Events", events())]


def process() -> Panels:
    """The resources that the process uses."""
    lag = quantile(0.99, "event_loop_lag_seconds", PROCESS, "instance")
    return [
        graph(
            "CPU",
            "Share of one core. A Python process uses at most one core, plus native code on threads.",
            "percentunit",
            query(rate("process_cpu_seconds_total", PROCESS, "instance"), "{{instance}}"),
            width=6,
            limits=[(0.8, "red")],
        ),
        graph(
            "Memory",
            "Resident memory.",
            "bytes",
            query(f"process_resident_memory_bytes{{{PROCESS}}}", "{{instance}}"),
            width=6,
        ),
        graph(
            "Event loop lag, 99 %",
            "The delay with which the loop runs due callbacks. If it is high, something blocks the loop and every request waits.",
            "s",
            query(lag, "{{instance}}"),
            width=6,
            limits=[(0.1, "red")],
        ),
        graph(
            "Open files",
            "Share of the file descriptors that it may open, including sockets.",
            "percentunit",
            query(f"process_open_fds{{{PROCESS}}} / process_max_fds{{{PROCESS}}}", "{{instance}}"),
            width=6,
            top=1,
        ),
        graph(
            "Requests in progress",
            "Requests that are being handled. If they grow while the rate does not, something keeps them waiting.",
            "short",
            query(f"sum by (instance) (http_requests_inprogress{{{PROCESS}}})", "{{instance}}"),
            width=8,
        ),
        graph(
            "Threads",
            "The pool of threads for synchronous endpoints. When all are in use, requests wait for one.",
            "short",
            *(
                query(f"sum by (instance) (thread_pool_{metric}{{{PROCESS}}})", f"{{{{instance}}}} {legend}")
                for metric, legend in (("threads", "in use"), ("limit", "limit"), ("pending_requests", "waiting"))
            ),
            width=8,
        ),
        graph(
            "Pauses of the garbage collector, 99 %",
            "The 99th percentile. The process does nothing else meanwhile.",
            "s",
            query(quantile(0.99, "python_gc_pause_seconds", PROCESS, "instance"), "{{instance}}"),
            width=8,
            limits=[(0.1, "red")],
        ),
    ]


def dependencies() -> Panels:
    """What requests wait for: connections from the pool, and other services."""
    used = f"sum by (instance, pool, state) (db_pool_connections{{{PROCESS}}})"
    limit = f"sum by (instance, pool) (db_pool_limit{{{PROCESS}}})"
    state = f"max by (target, circuit_breaker_state) (circuit_breaker_state{{{PROCESS}}} == 1)"
    gave_up = f"sum by (instance, pool) (increase(db_pool_timeouts_total{{{PROCESS}}}[$__rate_interval]))"
    waiting = f"sum by (instance, pool) (db_pool_pending_requests{{{PROCESS}}})"
    sql, call = "db_client_operation_duration_seconds", "service_call_duration_seconds"
    refused = rate("dependency_refused_requests_total", PROCESS, "dependency")
    return [
        graph(
            "Dependencies that answer",
            "1 while a dependency answers, and 0 while it does not.",
            "short",
            query(f"min by (instance, dependency) (dependency_up{{{PROCESS}}})", "{{instance}} {{dependency}}"),
            width=8,
            top=1,
            links=FOLLOW,
        ),
        graph(
            "Refused for a dependency",
            "Requests and attempts of background work per second that failed because the dependency did not answer.",
            "ops",
            query(refused, "{{dependency}}"),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Refused before they waited too long",
            "Requests per second answered 503 because too many were waiting already, by what they would have waited for.",
            "reqps",
            query(rate("requests_shed_total", PROCESS, "queue"), "{{queue}}"),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Connections of the pool",
            "When all are in use, requests wait for one. The limit is the size of the pool.",
            "short",
            query(used, "{{instance}} {{pool}} {{state}}"),
            query(limit, "{{instance}} {{pool}} limit"),
            width=8,
        ),
        graph(
            "Waiting for a connection",
            "Those that wait now, and those that gave up.",
            "short",
            query(waiting, "{{instance}} {{pool}} waiting"),
            query(gave_up, "{{instance}} {{pool}} gave up"),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Wait for a connection, 95 %",
            "The 95th percentile of those that found all connections in use.",
            "s",
            query(quantile(0.95, "db_pool_wait_seconds", PROCESS, "instance, pool"), "{{instance}} {{pool}}"),
            width=8,
        ),
        graph(
            "SQL",
            "Operations per second: statements, commits, rollbacks and new connections.",
            "ops",
            query(rate(f"{sql}_count", PROCESS, "operation"), "{{operation}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Duration of SQL, 95 %",
            "The 95th percentile by operation, failed ones too.",
            "s",
            query(quantile(0.95, sql, PROCESS, "operation"), "{{operation}}"),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Circuit breakers",
            '1 for the current state of the circuit breaker of each target; "closed" is healthy.',
            "short",
            query(state, "{{target}} {{circuit_breaker_state}}"),
            width=8,
            top=1,
        ),
        graph(
            "Calls to other services",
            "Calls per second, by the service called and the outcome.",
            "reqps",
            query(rate(f"{call}_count", PROCESS, "target, outcome"), "{{target}} {{outcome}}"),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Duration of calls, 95 %",
            "The 95th percentile by the service called, all attempts of a call together.",
            "s",
            query(quantile(0.95, call, PROCESS, "target"), "{{target}}"),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Retries of calls",
            "Attempts per second after one that failed.",
            "reqps",
            query(rate("service_call_retries_total", PROCESS, "target"), "{{target}}"),
            width=8,
            links=FOLLOW,
        ),
    ]


def events() -> Panels:
    """Events that are published, consumed, retried and given up."""

    def per_type(metric: str) -> Query:
        return query(rate(metric, PROCESS, "event_type"), "{{event_type}}")

    dead = f"sum by (event_type, destination) (increase(events_dead_total{{{PROCESS}}}[$__rate_interval]))"
    return [
        graph(
            "Published",
            "Events handed to the transport per second.",
            "eps",
            per_type("events_published_total"),
            width=6,
            stacked=True,
        ),
        graph(
            "Handled",
            "Events of other services handled per second.",
            "eps",
            per_type("events_consumed_total"),
            width=6,
            stacked=True,
        ),
        graph(
            "Failed attempts",
            "Failed attempts per second. A failed event is retried with growing pauses.",
            "eps",
            per_type("events_failed_total"),
            width=6,
            links=FOLLOW,
        ),
        graph(
            "Dead letters",
            "Events that will not be retried; an operator can list and replay them.",
            "short",
            query(dead, "{{event_type}} to {{destination}}"),
            width=6,
            links=FOLLOW,
        ),
        graph(
            "Time to effect, 95 %",
            "The 95th percentile of the time from an event to the commit of its effect here, by type of event.",
            "s",
            query(quantile(0.95, "event_age_seconds", PROCESS, "event_type"), "{{event_type}}"),
            links=FOLLOW,
        ),
        graph(
            "Duration of handling, 95 %",
            "The 95th percentile by type of event, failed attempts too.",
            "s",
            query(quantile(0.95, "event_handling_seconds", PROCESS, "event_type"), "{{event_type}}"),
            links=FOLLOW,
        ),
        graph(
            "Unsent events",
            "Rows that wait in the outbox.",
            "short",
            query(f"max by (destination) (outbox_unsent_rows{{{PROCESS}}})", "{{destination}}"),
        ),
        graph(
            "Oldest unsent event",
            "Age of the oldest event waiting in the outbox.",
            "s",
            query(f"max by (destination) (outbox_oldest_unsent_seconds{{{PROCESS}}})", "{{destination}}"),
            limits=[(120, "red")],
        ),
    ]
