"""Where links lead: from a panel to another dashboard, to traces and log lines in Explore, and to Jaeger's and Kibana's UIs.

Grafana replaces `${…}` when somebody clicks; the rest of the URL is encoded here.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import quote

from grafana_foundation_sdk.builders.dashboard import DashboardLink

CLICKED_SERVICE = "${__field.labels.job}"
CLICKED_CELL = "${__value.text}"
RANGE = {"from": "${__from}", "to": "${__to}"}
# The pages of other programs, each in a hidden variable of the dashboards that link to it.
OUTSIDE = {"kibana": "http://localhost:5601", "jaeger": "http://localhost:16686"}


def to_dashboard(uid: str, title: str, variable: str, value: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to another dashboard that sets one of its variables and keeps the time range."""
    return DashboardLink(title).url(f"/d/{uid}?var-{variable}={value}&${{__url_time_range}}")


def to_same(uid: str, title: str) -> DashboardLink:
    """A link to another dashboard that keeps the chosen job and the time range."""
    return DashboardLink(title).url(path(uid, keep_job=True))


def path(uid: str, *, keep_job: bool) -> str:
    """Where Grafana shows a dashboard for the same time range, and for the same job if that dashboard has it."""
    return f"/d/{uid}?{'${job:queryparam}&' if keep_job else ''}${{__url_time_range}}"


def to_runbook() -> DashboardLink:
    """A link from the cell with the name of a runbook, in a row about a service, to that runbook."""
    service = "${__data.fields.Service}"
    return DashboardLink("Runbook").url(f"/d/runbook-{CLICKED_CELL}?var-job={service}&${{__url_time_range}}")


def here(uid: str, title: str) -> DashboardLink:
    """The same for the top of a dashboard, which has switches for that."""
    return DashboardLink(title).url(f"/d/{uid}").include_vars(True).keep_time(True)


def to_traces(service: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to the traces of a service in Explore."""
    return _explore("Traces of this service", "jaeger", {"queryType": "search", "service": service})


def to_failed_traces(service: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to those traces of a service in Explore in which a span failed."""
    search = {"queryType": "search", "service": service, "tags": "error=true"}
    return _explore("Failed traces of this service", "jaeger", search)


def to_logs(service: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to the log lines of a service in Explore."""
    lines = {
        "query": f'service.keyword:"{service}"',
        "metrics": [{"type": "logs", "id": "1"}],
        "timeField": "@timestamp",
    }
    return _explore("Log lines of this service", "elasticsearch", lines)


def of_service(service: str = CLICKED_SERVICE) -> list[DashboardLink]:
    """Links to the dashboard, traces and log lines of the service whose series was clicked."""
    return [to_dashboard("service", "This service in depth", "job", service), *signals_of(service)]


def signals_of(service: str) -> list[DashboardLink]:
    """Links to the traces and log lines of a service."""
    return [to_failed_traces(service), to_traces(service), to_logs(service)]


def to_programs(service: str) -> list[DashboardLink]:
    """Links to the traces and log lines of a service in Jaeger's and Kibana's own pages. Jaeger expects microseconds."""
    found = f"${{jaeger}}/search?service={service}&start=${{__from}}000&end=${{__to}}000&limit=50"
    times = "(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
    lines = f"(query:(language:kuery,query:'service.keyword:%22{service}%22'))"
    pages = {
        "Failed traces": f"{found}&tags={quote(json.dumps({'error': 'true'}, separators=(',', ':')))}",
        "Traces": found,
        "Log lines": f"${{kibana}}/app/discover#/?_g={times}&_a={lines}",
    }
    return [DashboardLink(title).url(url).target_blank(True).icon("external link") for title, url in pages.items()]


def _explore(title: str, uid: str, query: Mapping[str, object]) -> DashboardLink:
    first = {"refId": "A", "datasource": {"type": uid, "uid": uid}, **query}
    panes = {"left": {"datasource": uid, "queries": [first], "range": RANGE}}
    encoded = quote(json.dumps(panes, separators=(",", ":")))
    readable = re.sub(r"%24%7B(.+?)%7D", r"${\1}", encoded)
    return DashboardLink(title).url(f"/explore?schemaVersion=1&orgId=1&panes={readable}")
