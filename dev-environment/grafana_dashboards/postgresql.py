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
    taken = f"sum(pg_stat_activity_count{{{SERVER}}}) / sum(pg_settings_max_connections{{{SERVER}}})"
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
            "Share of max_connections.",
            "percentunit",
            taken,
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
            "Rows fetched per second by index or bitmap scans.",
            "ops",
            query(rate("pg_stat_database_tup_fetched", DATABASE, "datname"), "{{datname}}"),
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
            query(f"sum by (datname) (pg_stat_activity_count{{{DATABASE}}})", "{{datname}}"),
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
        ),
        graph(
            "Deadlocks",
            "Deadlocks per second; the server aborts one of the two transactions.",
            "ops",
            query(rate("pg_stat_database_deadlocks", DATABASE, "datname"), "{{datname}}"),
        ),
    ]


def space() -> Panels:
    """The disk space in use."""
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
    ]
