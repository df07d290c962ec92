"""Overview: are the five services well? Rate, errors, duration and saturation, and what moves between them."""

from typing import Any

from grafana_dashboards import runbooks
from grafana_dashboards.board import Panels, alerts, board, chosen, restarts
from grafana_dashboards.links import CLICKED_CELL, of_service, to_runbook, to_same
from grafana_dashboards.panels import ALL_OF_THEM, Limit, Query, graph, grid, number, query
from grafana_dashboards.promql import quantile, rate, share
from grafana_dashboards.red import BUDGET, ERRORS, FULL, SECONDS, red

JOB = 'job=~"$job"'
PROBED = 'job="probe"'
# What fills up, of the fullest instance of each service, and from where on that is bad.
POOL = (
    f'max by (job) (sum by (job, instance, pool) (db_pool_connections{{{JOB}, state="in_use"}})'
    f" / sum by (job, instance, pool) (db_pool_limit{{{JOB}}}))"
)
POOL_FULL = ((0.7, "orange"), (0.9, "red"))
LAG = f"max by (job) ({quantile(0.99, 'event_loop_lag_seconds', JOB, 'job, instance')})"
LATE = ((0.05, "orange"), (0.1, "red"))
MEMORY = f"max by (job) (process_resident_memory_bytes{{{JOB}}}) / {256 * 2**20}"
UNSENT = f"outbox_oldest_unsent_seconds{{{JOB}}}"
WAITING = ((30, "orange"), (120, "red"))

FIRING = 'ALERTS{alertstate="firing", severity!="none"}'


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "overview",
        "Overview",
        "Rate, errors and duration of the five services, the events between them, and firing alerts.",
        [
            ("At a glance", at_a_glance()),
            ("Rate", requests()),
            ("Errors", errors()),
            ("Duration", durations()),
            ("Saturation", saturation()),
            ("Between the services", events()),
            ("Synthetic user", synthetic_user()),
        ],
        variables=[chosen("job", "Service", "label_values(job:up:max, job)", everything=".+-service")],
        annotations=[restarts(JOB), alerts("$job")],
    )


def at_a_glance() -> Panels:
    """A row of numbers, then tables of the services and the firing alerts."""
    asked = f"max by (job) (job:http_requests:rate5m{{{JOB}}})"
    return [
        number(
            "Services up",
            "Share of the services of which an instance answers Prometheus.",
            "percentunit",
            f"avg(job:up:max{{{JOB}}})",
            limits=ALL_OF_THEM,
        ),
        *red(JOB, "by all services"),
        number(
            "Error budget left",
            "Of the worst service level over seven days. Below zero, its objective is missed.",
            "percentunit",
            f"min(slo:error_budget_remaining:ratio7d{{{JOB}}})",
            limits=BUDGET,
            links=[to_same("slo", "Service levels")],
        ),
        number(
            "Firing alerts",
            'Alerts that are firing now; Alertmanager decides who is notified. "no rules": Prometheus evaluates none, not even Watchdog.',
            "short",
            f'count({FIRING}) or 0 * count(ALERTS{{alertname="Watchdog"}})',
            limits=[(1, "red")],
            none="no rules",
        ),
        grid(
            "Services",
            "Rates over five minutes. Click a name for the service's dashboard, traces or log lines.",
            [("job", "Service")],
            ("Up", f"max by (job) (job:up:max{{{JOB}}})", "percentunit", ALL_OF_THEM),
            ("Instances", f"max by (job) (job:up:sum{{{JOB}}})", "short", ()),
            ("Requests", asked, "reqps", ()),
            (
                "Errors",
                f"max by (job) (job:http_errors:ratio_rate5m{{{JOB}}}) and {asked} > 0",
                "percentunit",
                ERRORS,
            ),
            ("Duration (95 %)", f"max by (job) (job:http_request_duration_seconds:p95_rate5m{{{JOB}}})", "s", SECONDS),
            ("Error budget left", f"min by (job) (slo:error_budget_remaining:ratio7d{{{JOB}}})", "percentunit", BUDGET),
            ("Dependencies answer", f"avg by (job) (dependency_up{{{JOB}}})", "percentunit", ALL_OF_THEM),
            ("Pool in use", POOL, "percentunit", POOL_FULL),
            ("Event loop lag (99 %)", LAG, "s", LATE),
            ("Memory", MEMORY, "percentunit", FULL),
            ("Oldest unsent event", f"max by (job) ({UNSENT})", "s", WAITING),
            ("Running for", f"time() - max by (job) (process_start_time_seconds{{{JOB}}})", "s", ()),
            links=of_service(CLICKED_CELL),
        ),
        grid(
            "Firing alerts and their age",
            "Click a name for the runbook.",
            [("alertname", "Alert"), ("service", "Service"), ("severity", "Severity")],
            (
                "For",
                "(time() - max by (alertname, service, severity) (ALERTS_FOR_STATE))"
                f" and on (alertname, service, severity) {FIRING}",
                "s",
                (),
            ),
            links=[to_runbook()],
            names=runbooks.names(),
        ),
    ]


def requests() -> Panels:
    """The R of RED."""
    return [
        graph(
            "Requests by service",
            "Requests answered per second.",
            "reqps",
            query(rate("http_requests_total", JOB, "job"), "{{job}}"),
            width=8,
            stacked=True,
            links=of_service(),
        ),
        graph(
            "Requests by answer",
            "Requests answered per second, by group of status codes.",
            "reqps",
            query(rate("http_requests_total", JOB, "status"), "{{status}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Requests in progress",
            "Requests that are being handled. If they grow while the rate does not, something keeps them waiting.",
            "short",
            query(f"sum by (job) (http_requests_inprogress{{{JOB}}})", "{{job}}"),
            width=8,
            links=of_service(),
        ),
    ]


def errors() -> Panels:
    """The E of RED."""
    whole = rate("http_requests_total", JOB, "job")
    server, client = (rate("http_requests_total", f'{JOB}, status="{group}"', "job") for group in ("5xx", "4xx"))
    return [
        graph(
            "Failed by the service",
            "Share of requests that ended in a 5xx. The dashed line is the objective.",
            "percentunit",
            query(share(server, whole), "{{job}}"),
            width=8,
            limits=[(0.001, "red")],
            links=of_service(),
        ),
        graph(
            "Failed requests",
            "Requests that ended in a 5xx, per second. Each dot is one of them; click it to open its trace.",
            "reqps",
            query(server, "{{job}}", exemplars=True),
            width=8,
            links=of_service(),
        ),
        graph(
            "Refused",
            "Share of requests that ended in a 4xx. The callers are at fault, but check a sudden rise.",
            "percentunit",
            query(share(client, whole), "{{job}}"),
            width=8,
            links=of_service(),
        ),
    ]


def durations() -> Panels:
    """The D of RED."""

    def line(q: float) -> Query:
        return query(quantile(q, "http_request_duration_seconds", JOB, "job"), "{{job}}", exemplars=True)

    return [
        graph(
            "Duration, 95 %",
            "The 95th percentile. Each dot is a request; click it to open its trace.",
            "s",
            line(0.95),
            limits=[(0.5, "red")],
            links=of_service(),
        ),
        graph(
            "Duration, median",
            "The median. Each dot is a request; click it to open its trace.",
            "s",
            line(0.5),
            links=of_service(),
        ),
    ]


def saturation() -> Panels:
    """What fills up before requests fail, of the fullest instance of each service."""

    def filled(title: str, description: str, unit: str, asked: Query, *limits: Limit, top: float | None = None) -> Any:
        return graph(title, description, unit, asked, width=6, top=top, limits=limits[-1:], links=of_service())

    return [
        filled(
            "Pool in use",
            "Share of the database connections that a service may open. When all are in use, requests wait for one.",
            "percentunit",
            query(POOL, "{{job}}"),
            *POOL_FULL,
            top=1,
        ),
        filled(
            "Event loop lag, 99 %",
            "The delay with which the loop runs due callbacks. If it is high, every request waits.",
            "s",
            query(LAG, "{{job}}"),
            *LATE,
        ),
        filled(
            "Memory",
            "Share of the 256 MiB that a container may use; at the limit it is killed. Processes outside of containers have none.",
            "percentunit",
            query(MEMORY, "{{job}}"),
            *FULL,
            top=1,
        ),
        filled(
            "Oldest unsent event",
            "Age of the oldest event waiting in an outbox.",
            "s",
            query(f"max by (job, destination) ({UNSENT})", "{{job}} to {{destination}}"),
            *WAITING,
        ),
    ]


def events() -> Panels:
    """Events between the services, and where they are not sent."""
    handled, failed = rate("events_consumed_total", JOB, "job"), rate("events_failed_total", JOB, "job")
    opened = f'1 - min by (job, target) (circuit_breaker_state{{{JOB}, circuit_breaker_state="closed"}})'
    return [
        graph(
            "Events published",
            "Events handed to the transport per second.",
            "eps",
            query(rate("events_published_total", JOB, "event_type"), "{{event_type}}"),
            width=6,
            stacked=True,
        ),
        graph(
            "Events handled",
            "Events per second. Each failed attempt counts; it is retried.",
            "eps",
            query(handled, "{{job}}"),
            query(failed, "{{job}}, failed"),
            width=6,
            links=of_service(),
        ),
        graph(
            "Time to effect, 95 %",
            "The 95th percentile of the time from an event to the commit of its effect in the service that handles it.",
            "s",
            query(quantile(0.95, "event_age_seconds", JOB, "job"), "{{job}}"),
            width=6,
            links=of_service(),
        ),
        graph(
            "Open circuit breakers",
            "1 while a service does not call another one because that one has not answered.",
            "short",
            query(opened, "{{job}} to {{target}}"),
            width=6,
            top=1,
            links=of_service(),
        ),
    ]


def synthetic_user() -> Panels:
    """What the probe, a user of our own, gets from the services once a minute."""
    since = 'time() - max(probe_last_success_timestamp_seconds{job="probe"})'
    return [
        graph(
            "Services that it can use",
            "1 if the last attempt succeeded. Without a line, it was not tried, since the login failed.",
            "short",
            query(f"max by (service) (probe_success{{{PROBED}}})", "{{service}}"),
            width=6,
            top=1,
        ),
        graph(
            "Steps that failed",
            "Per second; one a minute is 0.017. What follows a failed login is skipped.",
            "ops",
            query(
                rate("probe_steps_total", f'{PROBED}, outcome!="success"', "service, step, outcome"),
                "{{service}}: {{step}}, {{outcome}}",
            ),
            width=6,
        ),
        graph(
            "Since its last success",
            "Time since the end of the last round in which all steps succeeded.",
            "s",
            query(since, "since then"),
            width=6,
            limits=[(300, "red")],
        ),
        graph(
            "Duration of a round",
            "All steps together. The round after a login takes longer.",
            "s",
            query('max(probe_duration_seconds{job="probe"})', "round"),
            width=6,
        ),
    ]
