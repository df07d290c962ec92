"""PostgreSQL: connections, work, waits and space of the server with the five databases."""

from grafana_dashboards.board import Panels, alerts, board, chosen, targets
from grafana_dashboards.panels import ALL_OF_THEM, graph, number, query
from grafana_dashboards.promql import rate, share

SERVER = 'job=~"$job", instance=~"$instance"'
DATABASE = f'{SERVER}, datname=~"$datname"'


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "postgresql",
        "PostgreSQL",
        "Connections, transactions, waits and space, by database.",
        [("At a glance", at_a_glance()), ("Work", work()), ("Waiting", waiting()), ("Space", space())],
        variables=[
            *targets("pg_up"),
            chosen(
                "datname", "Database", 'label_values(pg_database_size_bytes{job=~"$job"}, datname)', everything=".+"
            ),
        ],
        annotations=[alerts("postgres")],
    )


def at_a_glance() -> Panels:
    """A row of numbers."""
    hit, missed = (rate(f"pg_stat_database_blks_{each}", DATABASE) for each in ("hit", "read"))
    taken, most = (
        f"sum by (instance) (pg_{each}{{{SERVER}}})" for each in ("stat_activity_count", "settings_max_connections")
    )
    return [
        number(
            "Up",
            "Share of the servers to which the exporter can connect.",
            "percentunit",
            f"avg(pg_up{{{SERVER}}})",
            limits=ALL_OF_THEM,
        ),
        number(
            "Connections in use",
            "Share of max_connections, on the fullest server.",
            "percentunit",
            f"max({taken} / {most})",
            limits=[(0.7, "orange"), (0.8, "red")],
        ),
        number(
            "Transactions",
            "Transactions committed per second.",
            "ops",
            rate("pg_stat_database_xact_commit", DATABASE),
        ),
        number(
            "Cache hits",
            "Share of the blocks read that were in the server's shared buffers.",
            "percentunit",
            share(hit, f"({hit} + {missed})"),
            limits=[(0.9, "orange"), (0.99, "green")],
        ),
        number(
            "Longest transaction",
            "Age of the oldest open transaction, which keeps vacuum from removing old rows.",
            "s",
            f"max(pg_stat_activity_max_tx_duration{{{DATABASE}}})",
            limits=[(60, "orange"), (300, "red")],
        ),
        number(
            "Size",
            "Total size of the selected databases.",
            "bytes",
            f"sum(pg_database_size_bytes{{{DATABASE}}})",
        ),
    ]


def work() -> Panels:
    """The statements that the server executes."""
    changed = [
        query(rate(f"pg_stat_database_tup_{each}", DATABASE), each) for each in ("inserted", "updated", "deleted")
    ]
    return [
        graph(
            "Commits",
            "Transactions committed per second.",
            "ops",
            query(rate("pg_stat_database_xact_commit", DATABASE, "datname"), "{{datname}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Rollbacks",
            "Transactions rolled back per second.",
            "ops",
            query(rate("pg_stat_database_xact_rollback", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
        graph(
            "Time in statements",
            "Seconds of execution per second: 2 means that two statements were running on average.",
            "short",
            query(rate("pg_stat_database_active_time_seconds_total", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
        graph(
            "Rows read",
            "Rows per second. Many more scanned than fetched by an index: an index is missing.",
            "ops",
            query(rate("pg_stat_database_tup_returned", DATABASE), "scanned"),
            query(rate("pg_stat_database_tup_fetched", DATABASE), "fetched by an index"),
            width=8,
        ),
        graph("Rows changed", "Rows inserted, updated and deleted per second.", "ops", *changed, width=8),
        graph(
            "Blocks read from outside the cache",
            "Blocks per second, read from the operating system's cache or from disk.",
            "ops",
            query(rate("pg_stat_database_blks_read", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
    ]


def waiting() -> Panels:
    """Connections, locks and long transactions."""
    sessions = f"sum by (datname) (pg_stat_activity_count{{{DATABASE}}})"
    blocked = f'sum by (datname) (pg_stat_activity_count{{{DATABASE}, wait_event_type="Lock"}})'
    waits = f'sum by (wait_event_type) (pg_stat_activity_count{{{DATABASE}, state="active", wait_event_type!=""}})'
    return [
        graph(
            "Connections by state",
            '"idle in transaction" means that a session holds its locks and does nothing.',
            "short",
            query(f"sum by (state) (pg_stat_activity_count{{{DATABASE}}})", "{{state}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Connections by database",
            "Connections by database; each service has its own database.",
            "short",
            query(sessions, "{{datname}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Locks",
            "Locks held or waited for, by mode.",
            "short",
            query(f"sum by (mode) (pg_locks_count{{{DATABASE}}})", "{{mode}}"),
            width=8,
        ),
        graph(
            "Longest transaction",
            "Age of the oldest open transaction, by database and state.",
            "s",
            query(
                f"max by (datname, state) (pg_stat_activity_max_tx_duration{{{DATABASE}}}) > 0", "{{datname}} {{state}}"
            ),
            width=6,
        ),
        graph(
            "Sessions that wait for a lock",
            "The session they wait for is often idle in transaction; pg_blocking_pids(pid) names it.",
            "short",
            query(f"{blocked} or 0 * {sessions}", "{{datname}}"),
            width=6,
        ),
        graph(
            "What active sessions wait for",
            "Sessions by the kind of event; Client is the service, LWLock the server itself.",
            "short",
            query(waits, "{{wait_event_type}}"),
            width=6,
            stacked=True,
        ),
        graph(
            "Deadlocks",
            "Deadlocks per second; the server aborts one of the two transactions.",
            "ops",
            query(rate("pg_stat_database_deadlocks", DATABASE, "datname"), "{{datname}}"),
            width=6,
        ),
    ]


def space() -> Panels:
    """The disk space in use, and what vacuum does to give it back."""
    sessions = f"sum by (datname) (pg_stat_activity_count{{{DATABASE}}})"
    vacuums = f'sum by (datname) (pg_stat_activity_count{{{DATABASE}, backend_type="autovacuum worker"}})'
    return [
        graph(
            "Size of the databases",
            "Size with indexes and all other files.",
            "bytes",
            query(f"sum by (datname) (pg_database_size_bytes{{{DATABASE}}})", "{{datname}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Write-ahead log",
            "Size on disk. It grows while something prevents its removal.",
            "bytes",
            query(f"sum by (instance) (pg_wal_size_bytes{{{SERVER}}})", "{{instance}}"),
            width=8,
        ),
        graph(
            "Temporary files",
            "Bytes per second written by sorts and joins that did not fit into work_mem.",
            "Bps",
            query(rate("pg_stat_database_temp_bytes", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
        graph(
            "Age of the oldest transaction ID",
            "In transactions. At 200 million, vacuum freezes old rows by itself; at two billion, the server stops writing.",
            "short",
            query(f"max by (datname) (pg_database_wraparound_age_datfrozenxid_seconds{{{DATABASE}}})", "{{datname}}"),
            limits=[(1_000_000_000, "red")],
        ),
        graph(
            "Vacuum at work",
            "Autovacuum's workers by database; one that always runs has too much to do.",
            "short",
            query(f"{vacuums} or 0 * {sessions}", "{{datname}}"),
        ),
    ]
