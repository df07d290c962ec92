"""PostgreSQL: connections, work, waiting and space of the server that holds the five databases."""

from grafana_dashboards.board import Panels, alerts, board, chosen, targets
from grafana_dashboards.panels import graph, number, query
from grafana_dashboards.promql import rate, share

SERVER = 'job=~"$job", instance=~"$instance"'
DATABASE = f'{SERVER}, datname=~"$datname"'


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "postgresql",
        "PostgreSQL",
        "Connections, transactions, waiting and space, by database.",
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
    """One line of numbers."""
    hit, missed = (rate(f"pg_stat_database_blks_{each}", DATABASE) for each in ("hit", "read"))
    taken = f"sum(pg_stat_activity_count{{{SERVER}}}) / sum(pg_settings_max_connections{{{SERVER}}})"
    return [
        number(
            "Answers",
            "1 while the exporter has a connection to the server.",
            "short",
            query(f"min(pg_up{{{SERVER}}})"),
            below="red",
            limits=[(1, "green")],
        ),
        number(
            "Connections taken",
            "Share of max_connections.",
            "percentunit",
            query(taken),
            limits=[(0.7, "orange"), (0.8, "red")],
        ),
        number("Transactions", "Ended per second.", "ops", query(rate("pg_stat_database_xact_commit", DATABASE))),
        number(
            "Found in cache",
            "Share of blocks that were in the server's own memory.",
            "percentunit",
            query(share(hit, f"({hit} + {missed})")),
            below="red",
            limits=[(0.9, "orange"), (0.99, "green")],
        ),
        number(
            "Longest transaction",
            "Open for so long. It holds back the cleaning up of old rows.",
            "s",
            query(f"max(pg_stat_activity_max_tx_duration{{{DATABASE}}})"),
            limits=[(60, "orange"), (300, "red")],
        ),
        number("Size", "Of the databases chosen.", "bytes", query(f"sum(pg_database_size_bytes{{{DATABASE}}})")),
    ]


def work() -> Panels:
    """What the server does."""
    changed = [
        query(rate(f"pg_stat_database_tup_{each}", DATABASE), each) for each in ("inserted", "updated", "deleted")
    ]
    return [
        graph(
            "Commits",
            "Transactions per second that were kept.",
            "ops",
            query(rate("pg_stat_database_xact_commit", DATABASE, "datname"), "{{datname}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Rollbacks",
            "Transactions per second that were given up.",
            "ops",
            query(rate("pg_stat_database_xact_rollback", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
        graph(
            "Time in statements",
            "Seconds of work per second: 2 means that two statements ran at any moment.",
            "short",
            query(rate("pg_stat_database_active_time_seconds_total", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
        graph(
            "Rows read",
            "Fetched per second by index or bitmap scans.",
            "ops",
            query(rate("pg_stat_database_tup_fetched", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
        graph("Rows changed", "Per second.", "ops", *changed, width=8),
        graph(
            "Blocks read from outside the cache",
            "Per second: from the system's cache or from the disk.",
            "ops",
            query(rate("pg_stat_database_blks_read", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
    ]


def waiting() -> Panels:
    """Who is connected, and who waits for whom."""
    return [
        graph(
            "Connections by state",
            "Idle in transaction holds locks and does nothing.",
            "short",
            query(f"sum by (state) (pg_stat_activity_count{{{DATABASE}}})", "{{state}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Connections by database",
            "Each service has its own.",
            "short",
            query(f"sum by (datname) (pg_stat_activity_count{{{DATABASE}}})", "{{datname}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Locks",
            "Held or waited for, by mode.",
            "short",
            query(f"sum by (mode) (pg_locks_count{{{DATABASE}}})", "{{mode}}"),
            width=8,
        ),
        graph(
            "Longest transaction",
            "By database and state.",
            "s",
            query(
                f"max by (datname, state) (pg_stat_activity_max_tx_duration{{{DATABASE}}}) > 0", "{{datname}} {{state}}"
            ),
        ),
        graph(
            "Deadlocks",
            "Per second: the server gave one of the two up.",
            "ops",
            query(rate("pg_stat_database_deadlocks", DATABASE, "datname"), "{{datname}}"),
        ),
    ]


def space() -> Panels:
    """What it takes up."""
    return [
        graph(
            "Size of the databases",
            "With indices and everything.",
            "bytes",
            query(f"sum by (datname) (pg_database_size_bytes{{{DATABASE}}})", "{{datname}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Write-ahead log",
            "On disk. It grows while something holds it back.",
            "bytes",
            query(f"sum by (instance) (pg_wal_size_bytes{{{SERVER}}})", "{{instance}}"),
            width=8,
        ),
        graph(
            "Temporary files",
            "Written per second by sorts and joins that did not fit into work_mem.",
            "Bps",
            query(rate("pg_stat_database_temp_bytes", DATABASE, "datname"), "{{datname}}"),
            width=8,
        ),
    ]
