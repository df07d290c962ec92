"""Telemetry: targets, lost data, and the health of the systems that hold metrics, traces, logs and alerts."""

from grafana_dashboards.board import Panels, alerts, board, restarts, targets
from grafana_dashboards.links import of_service
from grafana_dashboards.panels import ALL_OF_THEM, Query, graph, grid, number, query
from grafana_dashboards.promql import quantile, rate, total

JOB = 'job=~"$job"'
TARGET = 'job=~"$job", instance=~"$instance"'


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "telemetry",
        "Telemetry",
        "Targets, lost data, and the health of Prometheus, Jaeger, Elasticsearch, Alertmanager and Grafana.",
        [
            ("At a glance", at_a_glance()),
            ("Loss", loss()),
            ("Metrics", metrics()),
            ("Traces", traces()),
            ("Logs", logs()),
            ("Alerts and dashboards", watchers()),
        ],
        variables=targets("up"),
        annotations=[restarts(TARGET), alerts("$job|prometheus|alertmanager|elasticsearch")],
    )


def at_a_glance() -> Panels:
    """A row of numbers, then a table of all targets."""
    spans = total("spans_dropped_total", f'{TARGET}, reason!="shutdown"')
    lost = f"{spans} + {total('log_lines_dropped_total', TARGET)}"
    rules = total("prometheus_rule_evaluation_failures_total", TARGET)
    silent = total("alertmanager_notifications_failed_total", TARGET)
    return [
        number(
            "Targets down",
            "Parts that `make up PARTS=…` left out count as well. A service without an instance is no target: Overview shows it.",
            "short",
            f"count(up{{{TARGET}}}) - sum(up{{{TARGET}}})",
            limits=[(1, "red")],
        ),
        number(
            "Spans and log lines lost",
            "Lost by the services in the selected time range.",
            "short",
            lost,
            decimals=0,
            limits=[(1, "red")],
        ),
        number(
            "Rules that failed",
            "Failed evaluations in the selected time range.",
            "short",
            rules,
            decimals=0,
            limits=[(1, "red")],
        ),
        number(
            "Notifications that failed",
            "Failed attempts in the selected time range.",
            "short",
            silent,
            decimals=0,
            limits=[(1, "red")],
        ),
        number(
            "Series",
            "Series in the memory of Prometheus.",
            "short",
            f"sum(prometheus_tsdb_head_series{{{TARGET}}})",
        ),
        number(
            "Exemplars",
            "Exemplars that Prometheus holds; each links a sample to a trace.",
            "short",
            f"sum(prometheus_tsdb_exemplar_exemplars_in_storage{{{TARGET}}})",
        ),
        grid(
            "Targets",
            "The targets that Prometheus scrapes, and what each scrape costs.",
            [("job", "Job"), ("instance", "Instance")],
            ("Up", f"avg by (job, instance) (up{{{TARGET}}})", "percentunit", ALL_OF_THEM),
            (
                "Scrape",
                f"max by (job, instance) (scrape_duration_seconds{{{TARGET}}})",
                "s",
                ((1, "orange"), (5, "red")),
            ),
            (
                "Samples",
                f"max by (job, instance) (scrape_samples_scraped{{{TARGET}}})",
                "short",
                ((10_000, "orange"), (20_000, "red")),
            ),
            ("Memory", f"max by (job, instance) (process_resident_memory_bytes{{{TARGET}}})", "bytes", ()),
            height=10,
        ),
    ]


def loss() -> Panels:
    """Spans and log lines that the services delivered and lost."""
    return [
        graph(
            "Spans exported",
            "Spans delivered per second, by service.",
            "ops",
            query(rate("spans_exported_total", TARGET, "job"), "{{job}}"),
            width=8,
            stacked=True,
            links=of_service(),
        ),
        graph(
            "Spans lost",
            "Spans lost per second, by service and reason.",
            "ops",
            query(rate("spans_dropped_total", TARGET, "job, reason") + " > 0", "{{job}}, {{reason}}"),
            width=8,
            links=of_service(),
        ),
        graph(
            "Log lines lost",
            "Lines lost per second because the buffer was full or the disk not writable.",
            "ops",
            query(rate("log_lines_dropped_total", TARGET, "job"), "{{job}}"),
            width=8,
            links=of_service(),
        ),
    ]


def metrics() -> Panels:
    """Prometheus itself."""
    stored = [
        query(f"sum(prometheus_tsdb_{each}_bytes{{{TARGET}}})", legend)
        for each, legend in (
            ("storage_blocks", "blocks"),
            ("wal_storage_size", "write-ahead log"),
            ("head_chunks_storage_size", "head"),
        )
    ]
    return [
        graph(
            "Samples",
            "Samples stored per second.",
            "ops",
            query(rate("prometheus_tsdb_head_samples_appended_total", TARGET, "instance"), "{{instance}}"),
            width=6,
        ),
        graph(
            "Series",
            "Series in memory. If they grow without bound, a label contains an id.",
            "short",
            query(f"sum by (instance) (prometheus_tsdb_head_series{{{TARGET}}})", "{{instance}}"),
            width=6,
        ),
        graph(
            "Space", "Disk space of the metrics, bounded by age and by size.", "bytes", *stored, width=6, stacked=True
        ),
        graph(
            "Slowest rule group",
            "Duration of its last evaluation.",
            "s",
            query(f"max(prometheus_rule_group_last_duration_seconds{{{TARGET}}})", "slowest"),
            width=6,
            limits=[(5, "red")],
        ),
    ]


def traces() -> Panels:
    """Jaeger: spans received and stored, and the metrics derived from them."""

    def spans(metric: str, legend: str) -> Query:
        return query(rate(f"otelcol_{metric}_total", TARGET), legend)

    name = "traces_span_metrics_duration_milliseconds"
    return [
        graph(
            "Spans in Jaeger",
            "Spans per second: accepted, refused for lack of memory, stored, and not stored because the storage failed.",
            "ops",
            spans("receiver_accepted_spans", "accepted"),
            spans("receiver_refused_spans", "refused"),
            spans("exporter_sent_spans", "stored"),
            spans("exporter_send_failed_spans", "not stored"),
            width=8,
        ),
        graph(
            "Spans by service",
            "Spans per second, as Jaeger counts them.",
            "ops",
            query(rate("traces_span_metrics_calls_total", TARGET, "service_name"), "{{service_name}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Duration of spans, 95 %",
            "By kind: SERVER and CONSUMER are our own work, CLIENT is time spent waiting for others.",
            "ms",
            query(quantile(0.95, name, TARGET, "span_kind"), "{{span_kind}}"),
            width=8,
        ),
    ]


def logs() -> Panels:
    """Elasticsearch, the store of the log lines."""
    used, most = (
        f'sum by (name) (elasticsearch_jvm_memory_{each}_bytes{{{TARGET}, area="heap"}})' for each in ("used", "max")
    )
    refused = rate("elasticsearch_thread_pool_rejected_count", f'{TARGET}, type="write"')
    return [
        graph(
            "Lines written and stored",
            "Lines per second. What was written and is not stored waits or is lost. Elasticsearch refuses lines when it is"
            " overloaded; Logstash retries them.",
            "ops",
            # Those who write are not the one who stores: both are shown, whichever is chosen.
            query(rate("log_lines_written_total"), "written"),
            query(rate("elasticsearch_indices_docs_primary", 'index=~"logs-.+"'), "stored"),
            query(rate("otelcol_exporter_sent_log_records_total"), "stored in Loki"),
            query(refused, "refused"),
            width=6,
        ),
        graph(
            "Unassigned shards",
            "A single one can keep an index from accepting lines.",
            "short",
            query(f"sum(elasticsearch_cluster_health_unassigned_shards{{{TARGET}}})", "unassigned"),
            width=6,
            limits=[(1, "red")],
        ),
        graph(
            "Disk of Elasticsearch",
            "Free space, and the limit below which it allocates no new index and accepts no more lines.",
            "bytes",
            query(f"min(elasticsearch_filesystem_data_available_bytes{{{TARGET}}})", "free"),
            query(f"max(elasticsearch_clustersettings_allocation_watermark_low_bytes{{{TARGET}}})", "no more lines"),
            width=6,
        ),
        graph(
            "Heap of Elasticsearch",
            "Share of the heap in use. If it stays near 1, Elasticsearch collects garbage instead of answering.",
            "percentunit",
            query(f"{used} / {most}", "{{name}}"),
            width=6,
            top=1,
        ),
    ]


def watchers() -> Panels:
    """Alertmanager and Grafana."""
    sent, failed = (rate(f"alertmanager_notifications{each}_total", TARGET, "integration") for each in ("", "_failed"))
    asked = rate("grafana_http_request_duration_seconds_count", TARGET, "status_code")
    return [
        graph(
            "Notifications",
            "Notifications sent per second, and those that failed.",
            "ops",
            query(f"{sent} > 0", "{{integration}}"),
            query(f"{failed} > 0", "{{integration}}, failed"),
            width=8,
        ),
        graph(
            "Active alerts",
            "Alerts in Alertmanager; suppressed ones are silenced or follow from another alert.",
            "short",
            query(f"sum by (state) (alertmanager_alerts{{{TARGET}}})", "{{state}}"),
            width=8,
        ),
        graph(
            "Requests to Grafana",
            "Requests answered per second, by status.",
            "reqps",
            query(asked, "{{status_code}}"),
            width=8,
            stacked=True,
        ),
    ]
