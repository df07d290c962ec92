"""RabbitMQ: what waits in which queue, how events flow, and whether the broker has room."""

from typing import Any

from grafana_dashboards.board import Panels, alerts, board, targets
from grafana_dashboards.panels import Query, graph, number, query
from grafana_dashboards.promql import rate

BROKER = 'job=~"$job", instance=~"$instance"'
LIVE, DEAD = (f'{BROKER}, queue{match}".+\\\\.dead"' for match in ("!~", "=~"))


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "rabbitmq",
        "RabbitMQ",
        "What waits in which queue, how events flow, and whether the broker has room.",
        [("At a glance", at_a_glance()), ("Queues", queues()), ("Flow", flow()), ("Room", room())],
        variables=targets("rabbitmq_identity_info"),
        annotations=[alerts("rabbitmq")],
    )


def at_a_glance() -> Panels:
    """One line of numbers."""
    alarms = f"max(rabbitmq_alarms_memory_used_watermark{{{BROKER}}}) + max(rabbitmq_alarms_free_disk_space_watermark{{{BROKER}}})"
    return [
        number(
            "Waiting",
            "Events ready for their consumers, in all queues.",
            "short",
            query(f"sum(rabbitmq_detailed_queue_messages_ready{{{LIVE}}})"),
            limits=[(100, "orange")],
        ),
        number(
            "Dead letters",
            "Events that nobody will try again: `make events-dead` lists them, `make events-replay` replays them.",
            "short",
            query(f"sum(rabbitmq_detailed_queue_messages_ready{{{DEAD}}})"),
            limits=[(1, "red")],
        ),
        number(
            "Consumers",
            "One for each running service that hears events.",
            "short",
            query(f"sum(rabbitmq_consumers{{{BROKER}}})"),
            below="red",
            limits=[(1, "green")],
        ),
        number("Connections", "Each service has one or two.", "short", query(f"sum(rabbitmq_connections{{{BROKER}}})")),
        number(
            "Alarms",
            "With one, nobody can publish: too little memory or disk.",
            "short",
            query(alarms),
            limits=[(1, "red")],
        ),
        number(
            "Running for",
            "Since the broker's last start.",
            "s",
            query(f"max(rabbitmq_erlang_uptime_seconds{{{BROKER}}})"),
        ),
    ]


def queues() -> Panels:
    """One queue for each service that hears events, and one for what it could not bear."""

    def each(metric: str, matchers: str) -> Query:
        return query(f"sum by (queue) (rabbitmq_detailed_queue_{metric}{{{matchers}}})", "{{queue}}")

    return [
        graph(
            "Waiting",
            "Ready for the consumer, which is slower than they come, or away.",
            "short",
            each("messages_ready", LIVE),
            width=6,
            limits=[(100, "red")],
        ),
        graph(
            "Delivered, not acknowledged",
            "With the consumer, or waiting for the next attempt.",
            "short",
            each("messages_unacked", LIVE),
            width=6,
        ),
        graph("Dead letters", "Given up after the last attempt.", "short", each("messages_ready", DEAD), width=6),
        graph("Consumers", "None: the service is away.", "short", each("consumers", LIVE), width=6),
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
            "Again and nowhere",
            "Messages per second that were delivered again, or that no queue wanted.",
            "ops",
            total("redelivered", "redelivered"),
            total("unroutable_returned", "returned: no queue"),
            total("unroutable_dropped", "dropped: no queue"),
            width=8,
        ),
        graph(
            "Dead-lettered",
            "Messages per second, by reason; confirmed: safely in the dead letter queue.",
            "ops",
            *dead,
            width=8,
        ),
    ]


def room() -> Panels:
    """Memory, disk and the rest that a broker can run out of."""

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
            "Of what it may use before it stops publishers.",
        ),
        graph("Disk", "Free, and the mark below which nobody can publish.", "bytes", *free, width=6),
        of("process_open_fds", "process_max_fds", "Open files", "Of what it may open; sockets count."),
        of("erlang_processes_used", "erlang_processes_limit", "Erlang processes", "Of what it may start."),
    ]
