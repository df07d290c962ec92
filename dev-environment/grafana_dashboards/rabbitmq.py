"""RabbitMQ: the length of its queues, the flow of events, and the broker's resources."""

from typing import Any

from grafana_dashboards.board import Panels, alerts, board, targets
from grafana_dashboards.panels import ALL_OF_THEM, Query, graph, number, query
from grafana_dashboards.promql import rate

BROKER = 'job=~"$job", instance=~"$instance"'
LIVE, DEAD = (f'{BROKER}, queue{match}".+\\\\.dead"' for match in ("!~", "=~"))


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "rabbitmq",
        "RabbitMQ",
        "The length of the queues, the flow of events, and the broker's resources.",
        [("At a glance", at_a_glance()), ("Queues", queues()), ("Flow", flow()), ("Room", room())],
        variables=targets("rabbitmq_identity_info"),
        annotations=[alerts("rabbitmq")],
    )


def at_a_glance() -> Panels:
    """A row of numbers."""
    alarms = f"max(rabbitmq_alarms_memory_used_watermark{{{BROKER}}}) + max(rabbitmq_alarms_free_disk_space_watermark{{{BROKER}}})"
    return [
        number(
            "Waiting",
            "Events ready for their consumers, in all queues.",
            "short",
            f"sum(rabbitmq_detailed_queue_messages_ready{{{LIVE}}})",
            limits=[(100, "orange")],
        ),
        number(
            "Dead letters",
            "Events that will not be retried: `make events-dead` lists them, `make events-replay` replays them.",
            "short",
            f"sum(rabbitmq_detailed_queue_messages_ready{{{DEAD}}})",
            limits=[(1, "red")],
        ),
        number(
            "Queues with a consumer",
            "Share of the queues that a service reads. One without a consumer waits for a service that is down.",
            "percentunit",
            f"avg(rabbitmq_detailed_queue_consumers{{{LIVE}}} > bool 0)",
            limits=ALL_OF_THEM,
        ),
        number(
            "Connections",
            "Open connections; each service has one or two.",
            "short",
            f"sum(rabbitmq_connections{{{BROKER}}})",
        ),
        number(
            "Alarms",
            "While there is one, nobody can publish: memory or disk space is short.",
            "short",
            alarms,
            limits=[(1, "red")],
        ),
        number(
            "Running for",
            "Time since the broker's last start.",
            "s",
            f"max(rabbitmq_erlang_uptime_seconds{{{BROKER}}})",
        ),
    ]


def queues() -> Panels:
    """One queue for each service that consumes events, and one for its dead letters."""

    def each(metric: str, matchers: str) -> Query:
        return query(f"sum by (queue) (rabbitmq_detailed_queue_{metric}{{{matchers}}})", "{{queue}}")

    return [
        graph(
            "Waiting",
            "Events ready for the consumer. They accumulate when it is slower than the publishers, or down.",
            "short",
            each("messages_ready", LIVE),
            width=6,
            limits=[(100, "red")],
        ),
        graph(
            "Delivered, not acknowledged",
            "Events that the consumer is handling or will retry.",
            "short",
            each("messages_unacked", LIVE),
            width=6,
        ),
        graph("Dead letters", "Events that failed at every attempt.", "short", each("messages_ready", DEAD), width=6),
        graph(
            "Consumers",
            "Consumers by queue. With none, the service is down.",
            "short",
            each("consumers", LIVE),
            width=6,
        ),
    ]


def flow() -> Panels:
    """From publishers to consumers."""

    def total(name: str, legend: str) -> Query:
        return query(rate(f"rabbitmq_global_messages_{name}_total", BROKER), legend)

    dead = [
        total(f"dead_lettered_{why}", why.replace("_", " "))
        for why in ("confirmed", "delivery_limit", "rejected", "expired", "maxlen")
    ]
    return [
        graph(
            "In and out",
            "Messages per second: received, confirmed to the publisher, acknowledged by the consumer.",
            "ops",
            total("received", "received"),
            total("confirmed", "confirmed"),
            total("acknowledged", "acknowledged"),
            width=8,
        ),
        graph(
            "Redelivered and unroutable",
            "Messages per second that were redelivered, or that matched no queue.",
            "ops",
            total("redelivered", "redelivered"),
            total("unroutable_returned", "returned: no queue"),
            total("unroutable_dropped", "dropped: no queue"),
            width=8,
        ),
        graph(
            "Dead-lettered",
            'Messages per second, by reason; "confirmed" are stored in the dead letter queue.',
            "ops",
            *dead,
            width=8,
        ),
    ]


def room() -> Panels:
    """Memory, disk and the other resources that a broker can run out of."""

    def of(used: str, limit: str, title: str, description: str) -> Any:
        expr = f"max by (instance) (rabbitmq_{used}{{{BROKER}}}) / max by (instance) (rabbitmq_{limit}{{{BROKER}}})"
        return graph(title, description, "percentunit", query(expr, "{{instance}}"), width=6, top=1)

    free = [
        query(f"max(rabbitmq_disk_space_available_{each}{{{BROKER}}})", legend)
        for each, legend in (("bytes", "free"), ("limit_bytes", "below this nobody can publish"))
    ]
    return [
        of(
            "process_resident_memory_bytes",
            "resident_memory_limit_bytes",
            "Memory",
            "Share of the memory limit; at the limit, the broker blocks publishers.",
        ),
        graph("Disk", "Free space, and the limit below which nobody can publish.", "bytes", *free, width=6),
        of(
            "process_open_fds",
            "process_max_fds",
            "Open files",
            "Share of the file descriptors that it may open, including sockets.",
        ),
        of(
            "erlang_processes_used",
            "erlang_processes_limit",
            "Erlang processes",
            "Share of the Erlang processes that it may start.",
        ),
    ]
