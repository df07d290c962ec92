"""Where links lead: from a panel to another dashboard, to traces in Explore, and to Jaeger's and Kibana's own pages.

Grafana replaces `${…}` when somebody clicks; the rest of the URL is encoded here.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from grafana_foundation_sdk.builders.dashboard import DashboardLink

CLICKED_SERVICE = "${__field.labels.job}"
CLICKED_CELL = "${__value.text}"
SAME_JOB = "${job:queryparam}"
RANGE = {"from": "${__from}", "to": "${__to}"}
# The pages of other programs, each in a hidden variable of the dashboards that link to it.
OUTSIDE = {"jaeger": "http://localhost:16686", "kibana": "http://localhost:5601"}


def to_dashboard(uid: str, title: str, variable: str, value: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to another dashboard that sets one of its variables and keeps the time range."""
    return DashboardLink(title).url(f"/d/{uid}?var-{variable}={value}&${{__url_time_range}}")


def to_same(uid: str, title: str) -> DashboardLink:
    """A link to another dashboard that keeps the chosen job and the time range."""
    return DashboardLink(title).url(path(uid, SAME_JOB))


def path(uid: str, chosen: str = "") -> str:
    """Where Grafana shows a dashboard for the same time range, with a variable that is `chosen`."""
    return f"/d/{uid}?{chosen and f'{chosen}&'}${{__url_time_range}}"


def to_runbook() -> DashboardLink:
    """A link from the cell with the name of a runbook, in a row about a service, to that runbook."""
    service = "${__data.fields.Service}"
    return DashboardLink("Runbook").url(f"/d/runbook-{CLICKED_CELL}?var-job={service}&${{__url_time_range}}")


def here(uid: str, title: str) -> DashboardLink:
    """The same for the top of a dashboard, which has switches for that."""
    return DashboardLink(title).url(f"/d/{uid}").include_vars(True).keep_time(True)


def to_traces(service: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to the traces of a service in Explore."""
    return in_explore("Traces of this service", "jaeger", {"queryType": "search", "service": service})


def to_failed_traces(service: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to those traces of a service in Explore in which a span failed."""
    search = {"queryType": "search", "service": service, "tags": "error=true"}
    return in_explore("Failed traces of this service", "jaeger", search)


def to_logs(service: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to the log lines of a service, in whichever store they are."""
    return to_dashboard("log-lines", "Log lines of this service", "service", service)


def of_service(service: str = CLICKED_SERVICE) -> list[DashboardLink]:
    """Links to the dashboard, traces and log lines of the service whose series was clicked."""
    return [to_dashboard("service", "This service in depth", "job", service), *signals_of(service)]


def signals_of(service: str) -> list[DashboardLink]:
    """Links to the traces and log lines of a service."""
    return [to_failed_traces(service), to_traces(service), to_logs(service)]


def on_top(service: str) -> list[DashboardLink]:
    """Links for the top of a dashboard: to the traces of a service on Jaeger's own page, and to its log lines."""
    found = f"${{jaeger}}/search?service={service}&start=${{__from}}000&end=${{__to}}000&limit=50"
    failed = f"{found}&tags={quote(json.dumps({'error': 'true'}, separators=(',', ':')))}"
    lines = DashboardLink("Log lines").url(f"/d/log-lines?var-service={service}").keep_time(True)
    return [_outside("Failed traces", failed), _outside("Traces", found), lines]


def in_kibana(title: str, lucene: str) -> DashboardLink:
    """A link to log lines in Kibana's Discover."""
    times = "(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
    return _outside(title, f"${{kibana}}/app/discover#/?_g={times}&_a=(query:(language:lucene,query:'{lucene}'))")


def in_explore(title: str, uid: str, query: Mapping[str, object]) -> DashboardLink:
    """A link to the answer of a data source in Explore."""
    first = {"refId": "A", "datasource": {"type": uid, "uid": uid}, **query}
    panes = {"left": {"datasource": uid, "queries": [first], "range": RANGE}}
    encoded = quote(json.dumps(panes, separators=(",", ":")))
    readable = re.sub(r"%24%7B.+?%7D", lambda found: unquote(found[0]), encoded)
    return DashboardLink(title).url(f"/explore?schemaVersion=1&orgId=1&panes={readable}")


def _outside(title: str, url: str) -> DashboardLink:
    return DashboardLink(title).url(url).target_blank(True).icon("external link")
