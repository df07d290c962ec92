"""The two stores of log lines, Elasticsearch and Loki: what dashboards ask of them, once in the language of each."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import elasticsearch, loki
from grafana_foundation_sdk.builders.dashboard import ConstantVariable, DashboardLink
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.elasticsearch import TermsOrder
from grafana_foundation_sdk.models.loki import LokiQueryDirection

from grafana_dashboards.links import OUTSIDE, in_explore, in_kibana


class Question(NamedTuple):
    """What is asked for. `$service`, `$trace_id` and `$user_id` are variables of Log lines, `$job` is one of Service.

    In LogQL `^` is needed: Loki takes a filter by `a.*` for one that looks for `a` anywhere.
    """

    title: str
    description: str
    lucene: str
    logql: str
    oldest_first: bool = False


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
    oldest_first=True,
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
    shown: list[str]
    """The fields of a line that a panel shows, where the question itself does not say how a line is shown."""
    programs: list[ConstantVariable]
    links: list[DashboardLink]


_IN_ELASTICSEARCH = DataSourceRef(type_val="elasticsearch", uid="elasticsearch")
_IN_LOKI = DataSourceRef(type_val="loki", uid="loki")
_MOST = 500
# As ".+": Loki refuses ".*", and the plus sign would be a space in a link.
_ANY = "..*"
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
        elasticsearch.ElasticsearchTermsSettings().size("50").order_by("_count").order(TermsOrder.DESC).missing("none")
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
    order = LokiQueryDirection.FORWARD if question.oldest_first else LokiQueryDirection.BACKWARD
    return _of_loki(f"{question.logql} | {_READABLE}").max_lines(_MOST).direction(order)


def _numbers_in_loki(count: Count) -> loki.Dataquery:
    asked = f'sum by ({count.label}) (count_over_time({{service_name=~"$service"}}[$__auto]))'
    return _of_loki(asked).legend_format(f"{{{{{count.label}}}}}")


def _of_loki(logql: str) -> loki.Dataquery:
    return loki.Dataquery().expr(logql).query_type("range").datasource(_IN_LOKI)


# In a link the chosen services have `|` between them and nothing else: Grafana changes a backslash in a link, which JSON puts
# before a quotation mark too, and reads a plus sign as a space.
_IN_LINK = "${service:pipe}"


def _kibana(title: str, question: Question) -> DashboardLink:
    return in_kibana(title, question.lucene.replace("${service:regex}", _IN_LINK))


def _explore(title: str, question: Question) -> DashboardLink:
    logql = question.logql.replace("$service", _IN_LINK).replace('".+"', f'"{_ANY}"').replace('"', "`")
    return in_explore(title, "loki", {"expr": logql, "queryType": "range"})


ELASTICSEARCH = Store(
    folder="provisioning",
    source=_IN_ELASTICSEARCH,
    lines=_lines_in_elasticsearch,
    numbers=_numbers_in_elasticsearch,
    services=json.dumps({"find": "terms", "field": "service.keyword"}),
    every_service=".*",
    shown=[
        "service",
        "context",
        "message",
        "http.method",
        "http.route",
        "http.status_code",
        "error.code",
        "error.message",
    ],
    programs=[ConstantVariable("kibana").value(OUTSIDE["kibana"])],
    links=[_kibana("Service in Kibana", LINES), _kibana("Trace in Kibana", TRACE)],
)
LOKI = Store(
    folder="provisioning-loki",
    source=_IN_LOKI,
    lines=_lines_in_loki,
    numbers=_numbers_in_loki,
    services="label_values(service_name)",
    every_service=_ANY,
    shown=[],
    programs=[],
    links=[_explore("Service in Explore", LINES), _explore("Trace in Explore", TRACE)],
)
STORES = (ELASTICSEARCH, LOKI)
