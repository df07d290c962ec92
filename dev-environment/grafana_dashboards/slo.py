"""Service levels: the objectives over seven days, what is left of the error budgets, and the burn rates."""

from grafana_dashboards.board import Panels, alerts, board, chosen
from grafana_dashboards.links import of_service
from grafana_dashboards.panels import graph, grid, number, query

LEVEL = 'job=~"$job", slo=~"$slo"'
BUDGET = ((0, "orange"), (0.25, "green"))
FAST = ((3.5, "orange"), (13.44, "red"))


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "slo",
        "Service levels",
        "Availability, latency and uptime over seven days as error budgets and burn rates.",
        [("Now", now()), ("Burn rates", burn_rates()), ("Over the week", week())],
        variables=[
            chosen("job", "Service", "label_values(slo:attained:ratio7d, job)"),
            chosen("slo", "Level", "label_values(slo:objective:ratio, slo)"),
        ],
        annotations=[alerts("$job")],
        since="now-6h",
    )


def burn_rate(window: str) -> str:
    """The burn rate as the alerts read it: in long windows, the time without data has used nothing of the budget."""
    rate = f"slo:burn_rate:{window}{{{LEVEL}}}"
    return f"{rate} * slo:covered:ratio{window}{{{LEVEL}}}" if window.endswith("d") else rate


def now() -> Panels:
    """The worst values as numbers, and a table of all service levels."""
    by = "by (job, slo)"
    level = f"max {by} (slo:attained:ratio7d{{{LEVEL}}})"
    return [
        number(
            "Worst budget left",
            "Below zero, the objective is missed for the last seven days.",
            "percentunit",
            f"min(slo:error_budget_remaining:ratio7d{{{LEVEL}}})",
            width=6,
            limits=BUDGET,
        ),
        number(
            "Highest burn rate, 1 hour",
            "1 uses up the budget in exactly seven days; from 13.44 on, the critical alert fires.",
            "short",
            f"max({burn_rate('1h')})",
            width=6,
            limits=FAST,
        ),
        number(
            "Highest burn rate, 6 hours",
            "From 3.5 on, the critical alert fires.",
            "short",
            f"max({burn_rate('6h')})",
            width=6,
            limits=[(1, "orange"), (3.5, "red")],
        ),
        number(
            "Highest burn rate, 3 days",
            "From 0.98 on, the week's objective will be missed.",
            "short",
            f"max({burn_rate('3d')})",
            width=6,
            limits=[(0.98, "orange")],
        ),
        grid(
            "Objectives and results",
            '"Attained" covers the last seven days, or the time since the first data.',
            [("job", "Service"), ("slo", "Level")],
            ("Objective", f"0 * {level} + on (slo) group_left () slo:objective:ratio", "percentunit", ()),
            ("Attained", level, "percentunit", ()),
            ("Budget left", f"min {by} (slo:error_budget_remaining:ratio7d{{{LEVEL}}})", "percentunit", BUDGET),
            ("Burn rate, 1 hour", f"max {by} ({burn_rate('1h')})", "short", FAST),
            ("Burn rate, 6 hours", f"max {by} ({burn_rate('6h')})", "short", [(1, "orange"), (3.5, "red")]),
            ("Burn rate, 3 days", f"max {by} ({burn_rate('3d')})", "short", [(0.98, "orange")]),
            height=12,
        ),
    ]


def burn_rates() -> Panels:
    """A pair of windows for each alert: it fires while both are above the line."""
    pairs = [
        ("An hour and five minutes", "13.44 uses up 8 % of the week's budget in an hour.", ("1h", "5m"), 13.44),
        ("Six hours and half an hour", "3.5 uses up 12.5 % of the week's budget in six hours.", ("6h", "30m"), 3.5),
        ("A day and two hours", "1.4 uses up 20 % of the week's budget in a day.", ("1d", "2h"), 1.4),
        ("Three days and six hours", "0.98 uses up 42 % of the week's budget in three days.", ("3d", "6h"), 0.98),
    ]
    return [
        graph(
            title,
            f"{meaning} The alert fires while both windows are above the line, from ten bad events on.",
            "short",
            *(query(burn_rate(window), f"{{{{job}}}} {{{{slo}}}}, {window}") for window in windows),
            limits=[(line, "red")],
            links=of_service(),
        )
        for title, meaning, windows, line in pairs
    ]


def week() -> Panels:
    """The error budget over time, and what used it up."""
    left = query(f"slo:error_budget_remaining:ratio7d{{{LEVEL}}}", "{{job}} {{slo}}")
    bad = query(f"slo:bad_events:rate1m{{{LEVEL}}}", "{{job}} {{slo}}")
    return [
        graph(
            "Error budget left",
            "Each drop is an incident; incidents leave the window after seven days.",
            "percentunit",
            left,
            top=1,
            below_zero=True,
            links=of_service(),
        ),
        graph(
            "Bad events",
            "Bad events per second: 5xx answers, answers that took longer than half a second, failed scrapes.",
            "eps",
            bad,
            links=of_service(),
        ),
    ]
