"""Rate, errors and duration: the three numbers that Overview and Service begin with, and their limits."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import DashboardLink

from grafana_dashboards.board import Panels
from grafana_dashboards.panels import number
from grafana_dashboards.promql import quantile, rate, share

ERRORS = ((0.001, "orange"), (0.01, "red"))
SECONDS = ((0.25, "orange"), (0.5, "red"))
FULL = ((0.8, "orange"), (0.9, "red"))
BUDGET = ((0, "orange"), (0.25, "green"))


def red(matchers: str, whose: str, links: Sequence[DashboardLink] = ()) -> Panels:
    """The numbers for the requests that `matchers` select; `whose` describes these requests in words."""
    requests, errors = rate("http_requests_total", matchers), rate("http_requests_total", f'{matchers}, status="5xx"')
    return [
        number("Requests", f"Requests answered per second, {whose}.", "reqps", requests),
        number(
            "Errors",
            "Share of requests that ended in a 5xx.",
            "percentunit",
            share(errors, requests),
            none="no traffic",
            limits=ERRORS,
            links=links,
        ),
        number(
            "Duration, 95 %",
            "The 95th percentile.",
            "s",
            quantile(0.95, "http_request_duration_seconds", matchers),
            none="no traffic",
            limits=SECONDS,
            links=links,
        ),
    ]
