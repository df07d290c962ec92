"""Service: one of the five in depth, from its requests down to its process, its events and its log lines."""

from grafana_dashboards.board import alerts, board, chosen, constant, restarts
from grafana_dashboards.links import to_dashboard, to_jaeger, to_kibana, to_logs, to_traces
from grafana_dashboards.panels import graph, grid, heat, lines, number, query
from grafana_dashboards.promql import quantile, rate, share

PROCESS = 'job=~"$job", instance=~"$instance"'
ROUTES = f'{PROCESS}, handler=~"$handler"'
FOLLOW = [to_traces("$job"), to_logs("$job")]


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "service",
        "Service",
        "One service in depth: its requests, its process, its events and its log lines.",
        [
            ("At a glance", at_a_glance()),
            ("Rate", requests()),
            ("Errors", errors()),
            ("Duration", durations()),
            ("The process", process()),
            ("Database connections and calls", dependencies()),
            ("Events", events()),
            ("Log", log()),
        ],
        variables=[
            chosen("job", "Service", 'label_values(up{job=~".+-service"}, job)', everything=None, first="auth-service"),
            chosen("instance", "Instance", 'label_values(up{job=~"$job"}, instance)'),
            chosen("handler", "Route", 'label_values(http_requests_total{job=~"$job"}, handler)'),
            constant("kibana", "http://localhost:5601"),
            constant("jaeger", "http://localhost:16686"),
        ],
        annotations=[restarts(PROCESS), alerts("$job")],
        links=[to_jaeger("$job"), to_kibana("$job")],
    )


def at_a_glance():
    """One line of numbers."""
    requests, errors = rate("http_requests_total", ROUTES), rate("http_requests_total", f'{ROUTES}, status="5xx"')
    budget = 'min(slo:error_budget_remaining:ratio7d{job=~"$job"})'
    return [
        number(
            "Instances up",
            "Processes that answer Prometheus.",
            "short",
            query(f"sum(up{{{PROCESS}}})"),
            width=3,
            below="red",
            limits=[(1, "green")],
            none="0",
        ),
        number(
            "Running for",
            "Since the last start of an instance.",
            "s",
            query(f"time() - max(process_start_time_seconds{{{PROCESS}}})"),
            width=3,
        ),
        number("Requests", "Answered per second, on the chosen routes.", "reqps", query(requests)),
        number(
            "Errors",
            "Share of requests that ended in a 5xx.",
            "percentunit",
            query(share(errors, requests)),
            none="no traffic",
            limits=[(0.001, "orange"), (0.01, "red")],
            links=FOLLOW,
        ),
        number(
            "Duration, 95 %",
            "95 of 100 requests took no longer.",
            "s",
            query(quantile(0.95, "http_request_duration_seconds", ROUTES)),
            limits=[(0.25, "orange"), (0.5, "red")],
            links=FOLLOW,
        ),
        number(
            "Error budget left",
            "Of the worst of its three service levels, over seven days.",
            "percentunit",
            query(budget),
            width=3,
            below="red",
            limits=[(0, "orange"), (0.25, "green")],
            links=[to_dashboard("slo", "Service levels", "job", "$job")],
        ),
        grid(
            "Version",
            "What runs.",
            [("version", "Version"), ("environment", "Environment")],
            ("Instances", f"count by (version, environment) (service_info{{{PROCESS}}})", "short", ()),
            width=3,
            height=4,
        ),
    ]


def requests():
    """The R of RED."""
    return [
        graph(
            "Requests by route",
            "Answered per second. Paths that lead nowhere count as unmatched.",
            "reqps",
            query(rate("http_requests_total", ROUTES, "handler"), "{{handler}}"),
            stacked=True,
            links=FOLLOW,
        ),
        graph(
            "Requests by answer",
            "Answered per second, by method and group of status codes.",
            "reqps",
            query(rate("http_requests_total", ROUTES, "method, status"), "{{method}} {{status}}"),
            stacked=True,
            links=FOLLOW,
        ),
    ]


def errors():
    """The E of RED."""
    whole = rate("http_requests_total", ROUTES, "handler")
    failed, refused = (
        rate("http_requests_total", f'{ROUTES}, status="{group}"', "handler") for group in ("5xx", "4xx")
    )
    return [
        graph(
            "Failed by the service",
            "Share of the requests of a route that ended in a 5xx.",
            "percentunit",
            query(share(failed, whole), "{{handler}}"),
            limits=[(0.001, "red")],
            links=FOLLOW,
        ),
        graph(
            "Refused",
            "4xx per second: not our failure, but a sudden rise is worth a look.",
            "reqps",
            query(refused, "{{handler}}"),
            links=FOLLOW,
        ),
    ]


def durations():
    """The D of RED."""
    name = "http_request_duration_seconds"
    return [
        graph(
            "Duration",
            "So long took half, 95 and 99 of 100 requests at most. Each dot is a request: click it for its trace.",
            "s",
            *(query(quantile(q, name, ROUTES), f"{q:.0%}", exemplars=True) for q in (0.5, 0.95, 0.99)),
            width=8,
            limits=[(0.5, "red")],
            links=FOLLOW,
        ),
        graph(
            "Duration by route, 95 %",
            "Which route is slow. Each dot is a request: click it for its trace.",
            "s",
            query(quantile(0.95, name, ROUTES, "handler"), "{{handler}}", exemplars=True),
            width=8,
            links=FOLLOW,
        ),
        heat(
            "All durations",
            "How many requests took how long. Two bands are two kinds of requests, or a cache.",
            "s",
            f"sum by (le) (increase({name}_bucket{{{ROUTES}}}[$__rate_interval]))",
            width=8,
            exemplars=True,
        ),
    ]


def process():
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


def dependencies():
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


def events():
    """What goes out through the outbox, what comes in, what is lost."""

    def per_type(metric: str):
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


def log():
    """The lines themselves."""
    return [
        lines(
            "Warnings and errors",
            "Open a line and follow its trace id to the trace.",
            'service.keyword:"$job" AND level.keyword:(warning OR error OR critical)',
        ),
    ]
