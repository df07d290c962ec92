"""What Grafana reads where log lines are in Loki: its data sources and dashboards as usual, but for the log store, and one
dashboard more, Log lines, with the questions that Kibana has as saved searches and as a dashboard."""

from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, logs, loki
from grafana_foundation_sdk.models.common import DataSourceRef, LogsSortOrder
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from grafana_dashboards.board import ALL, board
from grafana_dashboards.panels import graph

LOKI = DataSourceRef(type_val="loki", uid="loki")
GRAFANA = Path(__file__).parents[1] / "grafana"
MOUNTED = "/etc/grafana/provisioning/log-lines"

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

# What differs in the data sources: the log store itself, and the links to log lines.
TRACE_LINES = "/d/log-lines?var-trace_id=$${__value.raw}&from=now-7d&to=now"
OTHER_SOURCES = (
    (
        """        - name: trace_id
          url: "http://localhost:5601/app/discover#/?_g=(time:(from:now-7d,to:now))&_a=(query:(language:kuery,query:'trace_id:%22$${__value.raw}%22'))"
""",
        f"""        - name: trace_id
          url: "{TRACE_LINES}"
""",
    ),
    (
        """        datasourceUid: elasticsearch
""",
        """        datasourceUid: loki
""",
    ),
    (
        """        query: 'trace_id:"$${__trace.traceId}"'
""",
        """        query: '{service_name=~".+"} | trace_id="$${__trace.traceId}"'
""",
    ),
)
SOURCE = f"""  - name: Loki
    uid: loki
    type: loki
    access: proxy
    url: http://loki:3100
    editable: false
    jsonData:
      # From a line to its trace, and to the other lines of that trace.
      derivedFields:
        - name: Trace
          matcherType: label
          matcherRegex: trace_id
          url: "$${{__value.raw}}"
          datasourceUid: jaeger
          urlDisplayLabel: Trace
        - name: Log lines of this trace
          matcherType: label
          matcherRegex: trace_id
          url: "{TRACE_LINES}"
          urlDisplayLabel: Log lines of this trace
"""
PROVIDER = f"""
  # The dashboard of the log lines in Loki.
  - name: log-lines
    orgId: 1
    folder: All-ERP
    folderUid: all-erp
    type: file
    disableDeletion: true
    allowUiUpdates: false
    updateIntervalSeconds: 30
    options:
      path: {MOUNTED}
"""
GENERATED = "# Made by `make dashboards` from ../../provisioning: change that, or grafana_dashboards/loki.py.\n"


def files() -> dict[Path, str]:
    """The content of every file of the folder that Grafana reads in place of `provisioning`."""
    usual, other = GRAFANA / "provisioning", GRAFANA / "provisioning-loki"
    providers = (usual / "dashboards/all.yml").read_text() + PROVIDER
    return {
        other / "datasources/all.yml": GENERATED + data_sources((usual / "datasources/all.yml").read_text()),
        other / "dashboards/all.yml": GENERATED + providers,
        other / "log-lines/log-lines.json": build(),
    }


def data_sources(usual: str) -> str:
    """The data sources with Loki in place of Elasticsearch; ValueError if what is to be replaced is not there."""
    text, last, _ = usual.partition("  - name: Elasticsearch\n")
    if not last or any(text.count(old) != 1 for old, _ in OTHER_SOURCES):
        raise ValueError("provisioning/datasources/all.yml has changed: so must OTHER_SOURCES")
    for old, new in OTHER_SOURCES:
        text = text.replace(old, new)
    return text + SOURCE


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
