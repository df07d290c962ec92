"""Business: what people do with the system, and what it refuses."""

from grafana_dashboards.board import Panels, alerts, board
from grafana_dashboards.links import of_service
from grafana_dashboards.panels import graph, heat, number, query
from grafana_dashboards.promql import quantile, rate, share, total


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "business",
        "Business",
        "What people do: logins, new tenants, requests for money and approvals, hires.",
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
    """Login counts and durations, under the metric names that the requirements fix."""
    succeeded, all_of_them = rate("auth_login_total", 'status="success"'), rate("auth_login_total")
    follow = of_service("auth-service")
    return [
        graph(
            "Login Success Rate",
            "Successful and failed logins per second.",
            "reqps",
            query('rate(auth_login_total{status="success"}[5m])', "Success"),
            query('rate(auth_login_total{status="failure"}[5m])', "Failure"),
            links=follow,
        ),
        heat(
            "Login durations",
            "Number of logins by duration.",
            "s",
            "sum by (le) (increase(auth_login_duration_bucket[$__rate_interval]))",
        ),
        number(
            "Successful logins",
            "Share of all login attempts that succeeded.",
            "percentunit",
            share(succeeded, all_of_them),
            none="none",
            limits=[(0.5, "orange"), (0.9, "green")],
            links=follow,
            width=6,
        ),
        number(
            "Login duration",
            "The 95th percentile. Most of it is the password hash, which is slow by design.",
            "s",
            quantile(0.95, "auth_login_duration"),
            none="none",
            limits=[(1, "orange"), (2, "red")],
            links=follow,
            width=6,
        ),
        number(
            "Sessions ended early",
            "Sessions in the selected time range that ended by a logout, a changed password, a reused token or a disabled user.",
            "short",
            total("auth_sessions_revoked_total"),
            decimals=0,
            width=6,
        ),
        number(
            "Age of the signing key",
            "For how long access tokens have been signed with the present key: `make rotate-keys` publishes the next.",
            "s",
            "time() - max(auth_signing_key_timestamp_seconds > 0)",
            none="not used yet",
            width=6,
        ),
        graph(
            "Duration of password hashes, 95 %",
            "The 95th percentile by operation, without the wait. It is slow by design; more than usual means a lack of CPU.",
            "s",
            query(quantile(0.95, "password_hash_seconds", by="operation"), "{{operation}}"),
            width=8,
            links=follow,
        ),
        graph(
            "Wait of password hashes, 95 %",
            "The 95th percentile of the time until a hash gets one of the threads, of which there is one for each core.",
            "s",
            query(quantile(0.95, "password_hash_wait_seconds"), "wait"),
            width=8,
            links=follow,
        ),
        graph(
            "Password hashes that wait",
            "Those that wait now, and those refused with 429 because too many were waiting.",
            "short",
            query("sum(password_hashes_waiting)", "waiting"),
            query("sum(increase(password_hashes_refused_total[$__rate_interval]))", "refused"),
            width=8,
            links=follow,
        ),
        graph(
            "Guesses refused",
            "Logins and the like refused with 429 after wrong ones at the same account, or from the same address.",
            "short",
            query("sum by (limit) (increase(auth_guesses_refused_total[$__rate_interval]))", "{{limit}}"),
            links=follow,
        ),
        graph(
            "Password changes",
            "Passwords replaced in each interval, by their owner or with a one-time token, and those that an administrator ended for one.",
            "short",
            query("sum by (how) (increase(auth_password_changes_total[$__rate_interval]))", "by {{how}}"),
            query("sum(increase(auth_password_resets_total[$__rate_interval]))", "ended by an administrator"),
            links=follow,
        ),
    ]


def tenants() -> Panels:
    """New tenants, and how long their preparation takes."""
    name = "tenant_provisioning_seconds"
    follow = of_service("tenant-service")
    return [
        number(
            "Tenants activated",
            "Tenants that became active in the selected time range.",
            "short",
            total("tenants_provisioned_total", 'outcome="active"'),
            decimals=0,
            height=8,
        ),
        number(
            "Tenants closed",
            "Tenants closed in the selected time range because a service failed to prepare them, or was too late.",
            "short",
            total("tenants_provisioned_total", 'outcome="closed"'),
            decimals=0,
            limits=[(1, "red")],
            links=follow,
            height=8,
        ),
        graph(
            "Provisioning",
            "Tenants per second whose provisioning ended, by outcome.",
            "ops",
            query(rate("tenants_provisioned_total", "", "outcome"), "{{outcome}}"),
            width=8,
            links=follow,
        ),
        graph(
            "Time until a tenant is ready",
            "The median and the 95th percentile, for all four services together.",
            "s",
            *(query(quantile(q, name), f"{q:.0%}") for q in (0.5, 0.95)),
            width=8,
            links=follow,
        ),
        graph(
            "Suspended, resumed, closed",
            "Tenants that were suspended, that go on, and that were closed for good, in each interval.",
            "short",
            query("sum by (turn) (increase(tenants_turned_total[$__rate_interval]))", "{{turn}}"),
            width=8,
            links=follow,
        ),
        graph(
            "Changes of plan",
            "Tenants that got another plan in each interval, by the new one.",
            "short",
            query("sum by (plan) (increase(tenants_plan_changes_total[$__rate_interval]))", "{{plan}}"),
            width=8,
            links=follow,
        ),
        graph(
            "Exports",
            "Exports of a tenant in each interval, by the service that has given all of its part.",
            "short",
            query("sum by (participant) (increase(tenants_exported_total[$__rate_interval]))", "{{participant}}"),
            width=8,
            links=follow,
        ),
    ]


def budget() -> Panels:
    """Money that is requested, approved, refused and spent."""
    follow = of_service("budget-service")
    refused, asked = (rate("budget_expenditures_total", f'decision="{each}"') for each in ("refused", "requested"))
    return [
        graph(
            "Expenditures",
            "Expenditures per second, by decision. A rule refuses them, for example when too little money is left.",
            "ops",
            query(rate("budget_expenditures_total", "", "decision"), "{{decision}}"),
            width=8,
            links=follow,
        ),
        number(
            "Refused",
            "Refusals by a rule, as a share of the requested expenditures.",
            "percentunit",
            share(refused, asked),
            none="none",
            limits=[(0.5, "orange")],
            links=follow,
            height=8,
        ),
        number(
            "Committed",
            "Amount committed by approvals in the selected time range; the currencies are added up without conversion.",
            "short",
            total("budget_committed_amount_total"),
            decimals=0,
            height=8,
        ),
        number(
            "Approvals",
            "Expenditures approved in the selected time range.",
            "short",
            total("budget_expenditures_total", 'decision="approved"'),
            decimals=0,
            height=8,
        ),
        number(
            "Transfers",
            "Transfers between allocations in the selected time range.",
            "short",
            total("budget_transfers_total"),
            decimals=0,
            height=8,
        ),
    ]


def people() -> Panels:
    """Hires, and what the audit trail has recorded."""
    return [
        number(
            "People hired",
            "People hired in the selected time range.",
            "short",
            total("personnel_hires_total"),
            decimals=0,
            height=8,
        ),
        graph(
            "Hires, transfers, departures",
            "People per second who are hired, get a further appointment, go to another department, or get a last day.",
            "ops",
            query(rate("personnel_hires_total"), "Hires"),
            query(rate("personnel_appointments_total"), "Further appointments"),
            query(rate("personnel_transfers_total"), "Transfers"),
            query(rate("personnel_departures_total"), "Departures"),
            width=8,
        ),
        graph(
            "Audit trail",
            "Entries per second, by type of event, from all services.",
            "ops",
            query(rate("audit_entries_total", "", "event_type"), "{{event_type}}"),
            stacked=True,
        ),
        graph(
            "Codes and settings",
            "Changes of common codes and of settings in each interval.",
            "short",
            query("sum by (what) (increase(system_changes_total[$__rate_interval]))", "{{what}}"),
            width=24,
        ),
    ]
