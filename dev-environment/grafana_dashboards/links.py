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


def to_dashboard(uid: str, title: str, variable: str, value: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to another dashboard that sets one of its variables and keeps the time range."""
    return DashboardLink(title).url(f"/d/{uid}?var-{variable}={value}&${{__url_time_range}}")


def to_same(uid: str, title: str, variable: str) -> DashboardLink:
    """A link to another dashboard that keeps the selected value of a variable and the time range."""
    return DashboardLink(title).url(f"/d/{uid}?${{{variable}:queryparam}}&${{__url_time_range}}")


def to_traces(service: str = CLICKED_SERVICE) -> DashboardLink:
    """A link to the traces of a service in Explore."""
    return _explore("Traces of this service", "jaeger", {"queryType": "search", "service": service})


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
    return [to_dashboard("service", "This service in depth", "job", service), to_traces(service), to_logs(service)]


def to_kibana(service: str) -> DashboardLink:
    """A link to Kibana's Discover with the log lines of a service."""
    times = "(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
    lines = f"(query:(language:kuery,query:'service.keyword:%22{service}%22'))"
    return DashboardLink("Kibana").url(f"${{kibana}}/app/discover#/?_g={times}&_a={lines}").target_blank(True)


def to_jaeger(service: str) -> DashboardLink:
    """A link to Jaeger's UI, which expects times in microseconds."""
    search = f"service={service}&start=${{__from}}000&end=${{__to}}000&limit=50"
    return DashboardLink("Jaeger").url(f"${{jaeger}}/search?{search}").target_blank(True)


def _explore(title: str, uid: str, query: Mapping[str, object]) -> DashboardLink:
    first = {"refId": "A", "datasource": {"type": uid, "uid": uid}, **query}
    panes = {"left": {"datasource": uid, "queries": [first], "range": RANGE}}
    encoded = quote(json.dumps(panes, separators=(",", ":")))
    readable = re.sub(r"%24%7B(.+?)%7D", r"${\1}", encoded)
    return DashboardLink(title).url(f"/explore?schemaVersion=1&orgId=1&panes={readable}")
