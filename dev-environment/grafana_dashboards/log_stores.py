"""The two stores of log lines, Elasticsearch and Loki: what dashboards ask of them, once in the language of each."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import elasticsearch, loki
from grafana_foundation_sdk.builders.dashboard import ConstantVariable, DashboardLink
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.elasticsearch import TermsOrder

from grafana_dashboards.links import OUTSIDE, in_explore, in_kibana


class Question(NamedTuple):
    """What is asked for. `$service`, `$trace_id` and `$user_id` are variables of Log lines, `$job` is one of Service.

    In Lucene a service is a regular expression, since what Grafana escapes for Lucene would not pass through a link. In LogQL
    `^` is needed: Loki takes a filter by `a.*` for one that looks for `a` anywhere.
    """

    title: str
    description: str
    lucene: str
    logql: str


LINES = Question(
    "Lines of the chosen services",
    "All levels. Open a line: its trace id leads to the trace.",
    "service.keyword:/${service:regex}/",
    '{service_name=~"$service"} | json',
)
ALL_ERRORS = Question(
    "Errors of all services",
    "Whatever services are chosen.",
    "level.keyword:(error OR critical)",
    '{service_name=~".+", level=~"error|critical"} | json',
)
ERRORS = Question(
    "Errors of one service",
    "Or of several, if several are chosen.",
    "service.keyword:/${service:regex}/ AND level.keyword:(error OR critical)",
    '{service_name=~"$service", level=~"error|critical"} | json',
)
TRACE = Question(
    "One trace",
    "In the order in which they were written, from all services. Without a trace id, those of all traces.",
    "trace_id:${trace_id}*",
    '{service_name=~".+"} | trace_id=~"^${trace_id}.*" | trace_id!="" | json',
)
USER = Question(
    "What failed for one user",
    "Errors, and requests that were refused or failed. Without a user id, those of all users.",
    "user_id:${user_id}* AND (http.status_code:>=400 OR level.keyword:(error OR critical))",
    '{service_name=~".+"} | user_id=~"^${user_id}.*" | user_id!="" | json'
    ' | http_status_code >= 400 or level=~"error|critical"',
)
WARNINGS = Question(
    "Warnings and errors",
    "Open a line and follow its trace id to the trace.",
    'service.keyword:"$job" AND level.keyword:(warning OR error OR critical)',
    '{service_name="$job", level=~"warning|error|critical"} | json',
)


class Count(NamedTuple):
    """How many lines the chosen services write, by one of a line's fields: its name in Elasticsearch, and Loki's label."""

    title: str
    field: str
    label: str


COUNTS = (
    Count("Lines by level", "level.keyword", "level"),
    Count("Lines by service", "service.keyword", "service_name"),
)


class Store(NamedTuple):
    """A store: how it is asked, and the links from Log lines to where anything else can be asked."""

    folder: str
    """The folder of `dev-environment/grafana` that makes Grafana read this store."""
    source: DataSourceRef
    lines: Callable[[Question], Any]
    numbers: Callable[[Count], Any]
    services: str
    """The query for the names of all services."""
    every_service: str
    """A regular expression."""
    programs: list[ConstantVariable]
    links: list[DashboardLink]


_IN_ELASTICSEARCH = DataSourceRef(type_val="elasticsearch", uid="elasticsearch")
_IN_LOKI = DataSourceRef(type_val="loki", uid="loki")
_MOST = 200
# A line of JSON is shown by its fields, any other line as it is.
_READABLE = (
    "line_format `{{ if .message }}{{ .service_name }} {{ .context }}: {{ .message }} {{ .http_method }} {{ .http_route }}"
    " {{ .http_status_code }} {{ .error_code }} {{ .error_message }}{{ else }}{{ __line__ }}{{ end }}`"
)


def _lines_in_elasticsearch(question: Question) -> elasticsearch.Dataquery:
    wanted = elasticsearch.Logs().id("1").settings(elasticsearch.ElasticsearchLogsSettings().limit(str(_MOST)))
    return _of_elasticsearch(question.lucene).metrics([wanted])


def _numbers_in_elasticsearch(count: Count) -> elasticsearch.Dataquery:
    highest = (
        elasticsearch.ElasticsearchTermsSettings().size("10").order_by("_count").order(TermsOrder.DESC).missing("none")
    )
    over_time = elasticsearch.ElasticsearchDateHistogramSettings().interval("auto").min_doc_count("0")
    asked = _of_elasticsearch(LINES.lucene).metrics([elasticsearch.Count().id("1")])
    return asked.alias(f"{{{{term {count.field}}}}}").bucket_aggs(
        [
            elasticsearch.Terms().id("2").field(count.field).settings(highest),
            elasticsearch.DateHistogram().id("3").field("@timestamp").settings(over_time),
        ]
    )


def _of_elasticsearch(lucene: str) -> elasticsearch.Dataquery:
    return elasticsearch.Dataquery().query(lucene).time_field("@timestamp").datasource(_IN_ELASTICSEARCH)


def _lines_in_loki(question: Question) -> loki.Dataquery:
    return _of_loki(f"{question.logql} | {_READABLE}").max_lines(_MOST)


def _numbers_in_loki(count: Count) -> loki.Dataquery:
    asked = f'sum by ({count.label}) (count_over_time({{service_name=~"$service"}}[$__auto]))'
    return _of_loki(asked).legend_format(f"{{{{{count.label}}}}}")


def _of_loki(logql: str) -> loki.Dataquery:
    return loki.Dataquery().expr(logql).query_type("range").datasource(_IN_LOKI)


def _loki_in_explore(title: str, question: Question) -> DashboardLink:
    # Of itself Grafana writes several values as a regular expression in a query, but not in a link.
    logql = question.logql.replace("$service", "${service:regex}")
    return in_explore(title, "loki", {"expr": logql, "queryType": "range"})


ELASTICSEARCH = Store(
    folder="provisioning",
    source=_IN_ELASTICSEARCH,
    lines=_lines_in_elasticsearch,
    numbers=_numbers_in_elasticsearch,
    services=json.dumps({"find": "terms", "field": "service.keyword"}),
    every_service=".*",
    programs=[ConstantVariable("kibana").value(OUTSIDE["kibana"])],
    links=[in_kibana("Service in Kibana", LINES.lucene), in_kibana("Trace in Kibana", TRACE.lucene)],
)
LOKI = Store(
    folder="provisioning-loki",
    source=_IN_LOKI,
    lines=_lines_in_loki,
    numbers=_numbers_in_loki,
    services="label_values(service_name)",
    every_service="..*",  # Loki refuses ".*", and the plus sign of ".+" would be a space in a link
    programs=[],
    links=[_loki_in_explore("Service in Explore", LINES), _loki_in_explore("Trace in Explore", TRACE)],
)
STORES = (ELASTICSEARCH, LOKI)
