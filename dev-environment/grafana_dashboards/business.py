"""Business: what people do with the system, and what it refuses them."""

from grafana_dashboards.board import Panels, alerts, board
from grafana_dashboards.links import of_service
from grafana_dashboards.panels import graph, heat, latest, number, query
from grafana_dashboards.promql import quantile, rate, share, total


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "business",
        "Business",
        "What people do: they log in, tenants come, money is requested and approved, people are hired.",
        [
            ("Logins", logins()),
            ("Tenants", tenants()),
            ("Budget", budget()),
            ("Personnel and audit trail", people()),
        ],
        annotations=[alerts("auth-service|tenant-service")],
        since="now-3h",
    )


def logins() -> Panels:
    """The counter and the histogram that every dashboard of a login has, under their agreed names."""
    succeeded, all_of_them = rate("auth_login_total", 'status="success"'), rate("auth_login_total")
    follow = of_service("auth-service")
    return [
        graph(
            "Login Success Rate",
            "Logins per second that succeeded and that failed.",
            "reqps",
            query('rate(auth_login_total{status="success"}[5m])', "Success"),
            query('rate(auth_login_total{status="failure"}[5m])', "Failure"),
            links=follow,
        ),
        heat(
            "Login durations",
            "How many logins took how long.",
            "s",
            "sum by (le) (increase(auth_login_duration_bucket[$__rate_interval]))",
        ),
        number(
            "Logins that succeed",
            "Share of all attempts.",
            "percentunit",
            query(share(succeeded, all_of_them)),
            none="none",
            below="red",
            limits=[(0.5, "orange"), (0.9, "green")],
            links=follow,
            width=8,
        ),
        number(
            "Login duration",
            "95 of 100 logins took no longer. Most of it is the password hash, on purpose.",
            "s",
            query(quantile(0.95, "auth_login_duration")),
            limits=[(1, "orange"), (2, "red")],
            links=follow,
            width=8,
        ),
        number(
            "Sessions ended early",
            "In the time shown: logged out, password changed, token reused, user disabled.",
            "short",
            latest(total("auth_sessions_revoked_total")),
            decimals=0,
            width=8,
        ),
    ]


def tenants() -> Panels:
    """The life of tenants."""
    name = "tenant_provisioning_seconds"
    follow = of_service("tenant-service")
    return [
        number(
            "Tenants activated",
            "In the time shown.",
            "short",
            latest(total("tenants_provisioned_total", 'outcome="active"')),
            decimals=0,
            height=8,
        ),
        number(
            "Tenants closed",
            "In the time shown: a service could not prepare them, or not in time.",
            "short",
            latest(total("tenants_provisioned_total", 'outcome="closed"')),
            decimals=0,
            limits=[(1, "red")],
            links=follow,
            height=8,
        ),
        graph(
            "Provisioning",
            "Tenants per second whose provisioning has ended, by outcome.",
            "ops",
            query(rate("tenants_provisioned_total", "", "outcome"), "{{outcome}}"),
            width=8,
            links=follow,
        ),
        graph(
            "Time until a tenant is ready",
            "So long took half and 95 of 100, over all four services.",
            "s",
            *(query(quantile(q, name), f"{q:.0%}") for q in (0.5, 0.95)),
            width=8,
            links=follow,
        ),
    ]


def budget() -> Panels:
    """Money: asked for, decided, spent."""
    follow = of_service("budget-service")
    refused, asked = (rate("budget_expenditures_total", f'decision="{each}"') for each in ("refused", "requested"))
    return [
        graph(
            "Expenditures",
            "Per second, by what was decided. Refused: by a rule, such as too little money left.",
            "ops",
            query(rate("budget_expenditures_total", "", "decision"), "{{decision}}"),
            links=follow,
        ),
        number(
            "Refused",
            "Refusals by a rule for each expenditure that was requested.",
            "percentunit",
            query(share(refused, asked)),
            none="none",
            limits=[(0.5, "orange")],
            links=follow,
            height=8,
        ),
        number(
            "Committed",
            "By approvals, in the time shown, in units of the currencies.",
            "short",
            latest(total("budget_committed_amount_total")),
            decimals=0,
            height=8,
        ),
        number(
            "Approvals",
            "In the time shown.",
            "short",
            latest(total("budget_expenditures_total", 'decision="approved"')),
            decimals=0,
            height=8,
        ),
    ]


def people() -> Panels:
    """Hires, and what the audit trail has heard."""
    return [
        number(
            "People hired", "In the time shown.", "short", latest(total("personnel_hires_total")), decimals=0, height=8
        ),
        graph("Hires", "People hired per second.", "ops", query(rate("personnel_hires_total"), "Hires"), width=8),
        graph(
            "Audit trail",
            "Entries per second, by type of event: everything that happened, wherever it did.",
            "ops",
            query(rate("audit_entries_total", "", "event_type"), "{{event_type}}"),
            stacked=True,
        ),
    ]
