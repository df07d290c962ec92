"""Log lines: the dashboard for Loki, with the questions that Kibana has as saved searches and as a dashboard."""

from grafana_foundation_sdk.builders import dashboard, logs, loki
from grafana_foundation_sdk.models.common import DataSourceRef, LogsSortOrder
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from grafana_dashboards.board import ALL, board
from grafana_dashboards.panels import graph

LOKI = DataSourceRef(type_val="loki", uid="loki")

# A line of JSON is shown by its fields, any other line as it is.
READABLE = (
    "| json | line_format `{{ if .message }}{{ .service_name }} {{ .context }}: {{ .message }} {{ .error_message }}"
    "{{ else }}{{ __line__ }}{{ end }}`"
)
QUESTIONS = {
    "Errors of all services": f'{{service_name=~".+", level=~"error|critical"}} {READABLE}',
    "Errors of one service": f'{{service_name=~"$service", level=~"error|critical"}} {READABLE}',
    "One trace": f'{{service_name=~".+"}} | trace_id=~"${{trace_id}}.*" | trace_id!="" {READABLE}',
    "What failed for one user": '{service_name=~".+"} | user_id=~"${user_id}.*" | user_id!="" | json'
    ' | http_status_code >= 400 or level=~"error|critical"'
    " | line_format `{{ .service_name }} {{ .http_method }} {{ .http_route }} {{ .http_status_code }}"
    " {{ .error_code }} {{ .error_message }} {{ .message }}`",
}
"""LogQL, by the title of the panel."""

COUNTS = {
    "Lines by level": ('sum by (level) (count_over_time({service_name=~"$service"}[$__auto]))', "{{level}}"),
    "Lines by service": (
        'sum by (service_name) (count_over_time({service_name=~"$service"}[$__auto]))',
        "{{service_name}}",
    ),
}
"""LogQL and legend, by the title of the panel."""


def build() -> str:
    """The JSON of the dashboard."""
    counts = [
        graph(
            title,
            "In the selected time range.",
            "short",
            loki.Dataquery().expr(expr).legend_format(legend),
            stacked=True,
        ).datasource(LOKI)
        for title, (expr, legend) in COUNTS.items()
    ]
    services = dashboard.QueryVariable("service").label("Service").datasource(LOKI).query("label_values(service_name)")
    services.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    services.multi(True).include_all(True).all_value(".+").current(ALL)
    ids = [
        dashboard.TextBoxVariable(name).label(label).default_value("").current(VariableOption(text="", value=""))
        for name, label in (("trace_id", "Trace id, or how it begins"), ("user_id", "User id"))
    ]
    first, one_service, one_trace, one_user = (lines(title, expr) for title, expr in QUESTIONS.items())
    return board(
        "log-lines",
        "Log lines",
        "What the services say, in Loki: by volume, by level, by trace and by user.",
        [
            ("Volume", counts),
            ("Errors", [first, one_service]),
            ("One trace", [one_trace.sort_order(LogsSortOrder.ASCENDING)]),
            ("One user", [one_user]),
        ],
        variables=[services, *ids],
    )


def lines(title: str, expr: str) -> logs.Panel:
    """Log lines, the newest first."""
    panel = logs.Panel().title(title).datasource(LOKI).span(24).height(10)
    panel.targets([loki.Dataquery().expr(expr).query_type("range").max_lines(200).ref_id("A")])
    return panel.show_time(True).enable_log_details(True).sort_order(LogsSortOrder.DESCENDING)
