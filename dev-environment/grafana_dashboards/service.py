"""Service: one service in depth. Its requests and log lines are here; `service_inside` has the rest."""

from grafana_dashboards.board import Panels, alerts, board, chosen, jaeger, restarts
from grafana_dashboards.links import on_top, to_same
from grafana_dashboards.log_stores import WARNINGS, Store
from grafana_dashboards.panels import graph, heat, lines, number, query, word
from grafana_dashboards.promql import quantile, rate, share
from grafana_dashboards.red import BUDGET, red
from grafana_dashboards.service_inside import FOLLOW, PROCESS, inside

ROUTES = f'{PROCESS}, handler=~"$handler"'


def build(store: Store) -> str:
    """The JSON of this dashboard, with log lines of one of the stores."""
    return board(
        "service",
        "Service",
        "One service in depth: its requests, its process, its events and its log lines.",
        [
            ("At a glance", at_a_glance()),
            ("Rate", requests()),
            ("Errors", errors()),
            ("Duration", durations()),
            *inside(),
            ("Log", [lines(store, WARNINGS)]),
        ],
        variables=[
            chosen("job", "Service", "label_values(job:up:max, job)", everything=None, first="auth-service"),
            chosen("instance", "Instance", 'label_values(up{job=~"$job"}, instance)'),
            chosen("handler", "Route", 'label_values(http_requests_total{job=~"$job"}, handler)'),
            jaeger(),
        ],
        annotations=[restarts(PROCESS), alerts("$job")],
        links=on_top("${job}"),
        one_job=True,
    )


def at_a_glance() -> Panels:
    """A row of numbers."""
    budget = 'min(slo:error_budget_remaining:ratio7d{job=~"$job"})'
    return [
        number(
            "Instances up",
            "Number of the processes that answer Prometheus.",
            "short",
            f"sum(up{{{PROCESS}}})",
            width=3,
            none="none",
        ),
        number(
            "Running for",
            "Time since the last start of an instance.",
            "s",
            f"time() - max(process_start_time_seconds{{{PROCESS}}})",
            width=3,
        ),
        *red(ROUTES, "on the selected routes", FOLLOW),
        number(
            "Error budget left",
            "Of the worst of its three service levels over seven days.",
            "percentunit",
            budget,
            width=3,
            limits=BUDGET,
            links=[to_same("slo", "Service levels")],
        ),
        word("Version", "The version that is running.", f"service_info{{{PROCESS}}}", "{{version}}", width=3),
    ]


def requests() -> Panels:
    """The R of RED."""
    return [
        graph(
            "Requests by route",
            'Requests answered per second. Paths that match no route count as "unmatched".',
            "reqps",
            query(rate("http_requests_total", ROUTES, "handler"), "{{handler}}"),
            width=8,
            stacked=True,
            links=FOLLOW,
        ),
        graph(
            "Requests by answer",
            "Requests answered per second, by method and group of status codes.",
            "reqps",
            query(rate("http_requests_total", ROUTES, "method, status"), "{{method}} {{status}}"),
            width=8,
            stacked=True,
            links=FOLLOW,
        ),
        graph(
            "Requests by instance",
            "Requests answered per second, by the process that answered. One that gets far fewer is not found by its callers.",
            "reqps",
            query(rate("http_requests_total", ROUTES, "instance"), "{{instance}}"),
            width=8,
            stacked=True,
            links=FOLLOW,
        ),
    ]


def errors() -> Panels:
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
            width=8,
            limits=[(0.001, "red")],
            links=FOLLOW,
        ),
        graph(
            "Failed requests",
            "5xx answers per second. Each dot is a failed request; click it to open its trace.",
            "reqps",
            query(failed, "{{handler}}", exemplars=True),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Refused requests",
            "4xx answers per second. The callers are at fault, but check a sudden rise. Each dot is a refused request.",
            "reqps",
            query(refused, "{{handler}}", exemplars=True),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Refusals by type",
            "Requests refused or failed per second, by the type of the problem that the answer names.",
            "reqps",
            query(rate("http_problems_total", ROUTES, "type"), "{{type}}"),
            width=8,
            links=FOLLOW,
        ),
        graph(
            "Refused connections",
            "Connections per second that were ended before a request of theirs had reached the application, by reason. "
            "They are in no other panel: no request of them was whole.",
            "cps",
            query(rate("http_connections_refused_total", PROCESS, "reason"), "{{reason}}"),
            width=8,
        ),
        graph(
            "Unexpected exceptions",
            "Requests per second that ended with an exception that no handler expects, by its type. No data: there was none.",
            "reqps",
            query(rate("http_exceptions_total", PROCESS, "type"), "{{type}}"),
            width=8,
            links=FOLLOW,
        ),
    ]


def durations() -> Panels:
    """The D of RED."""
    name = "http_request_duration_seconds"
    return [
        graph(
            "Duration",
            "The median, the 95th and the 99th percentile. Each dot is a request; click it to open its trace.",
            "s",
            *(query(quantile(q, name, ROUTES), f"{q:.0%}", exemplars=True) for q in (0.5, 0.95, 0.99)),
            width=8,
            limits=[(0.5, "red")],
            links=FOLLOW,
        ),
        graph(
            "Duration by route, 95 %",
            "The 95th percentile by route. Each dot is a request; click it to open its trace.",
            "s",
            query(quantile(0.95, name, ROUTES, "handler"), "{{handler}}", exemplars=True),
            width=8,
            links=FOLLOW,
        ),
        heat(
            "All durations",
            "Number of requests by duration. Two bands mean two kinds of requests, or a cache.",
            "s",
            f"sum by (le) (increase({name}_bucket{{{ROUTES}}}[$__rate_interval]))",
            width=8,
            exemplars=True,
        ),
    ]
