"""What surrounds the panels of every dashboard: variables, annotations, links to the other dashboards, and rows."""

import json
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana_dashboards.links import OUTSIDE
from grafana_dashboards.panels import PROMETHEUS, query

TAG, RUNBOOK = "all-erp", "runbook"
ALL = VariableOption(text=["All"], value=["$__all"])

Panels = Sequence[Any]
Rows = Sequence[tuple[str, Panels]]


def board(
    uid: str,
    title: str,
    description: str,
    rows: Rows,
    *,
    variables: Sequence[Any] = (),
    annotations: Sequence[dashboard.AnnotationQuery] = (),
    links: Sequence[dashboard.DashboardLink] = (),
    since: str = "now-1h",
    refresh: str = "30s",
    tag: str = TAG,
    one_job: bool = False,
) -> str:
    """The JSON of a dashboard; the same input always gives the same bytes. With `one_job`, its variable `job` has exactly one
    value, which the links to the runbooks hand on."""
    made = dashboard.Dashboard(title).uid(uid).description(description).tags([tag]).readonly().timezone("browser")
    made.time(since, "now").refresh(refresh).tooltip(DashboardCursorSync.CROSSHAIR)
    made.variables([_datasource(), *variables])
    made.annotations(list(annotations))
    # The variables of other dashboards have the same names but other values: only the runbooks take any job.
    menus = [_menu("Dashboards", TAG), _menu("Runbooks", RUNBOOK).include_vars(one_job)]
    made.links([*menus, *(link.type(DashboardLinkType.LINK) for link in links)])
    number = 0
    for heading, panels in rows:
        if heading:
            number += 1
            made.with_row(dashboard.Row(heading).id(number))
        for panel in panels:
            number += 1
            made.with_panel(panel.id(number))
    plain = _without_old_fields(json.loads(json.dumps(made.build(), cls=JSONEncoder)))
    return json.dumps(plain, sort_keys=True, indent=2) + "\n"


def _menu(title: str, tag: str) -> dashboard.DashboardLink:
    listed = dashboard.DashboardLink(title).type(DashboardLinkType.DASHBOARDS).tags([tag])
    return listed.as_dropdown(True).keep_time(True)


def _without_old_fields(made: dict[str, Any]) -> dict[str, Any]:
    """The dashboard without what the SDK adds to it and Grafana's schema does not have, or no longer."""
    for link in made["links"]:
        del link["placement"]  # its only value hides the link in a menu
    for variable in made["templating"]["list"]:
        for field in ("auto", "auto_count", "auto_min"):
            variable.pop(field, None)
    for panel in made["panels"]:
        panel.get("options", {}).pop("footer", None)
        fields = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        properties = [each for override in fields["overrides"] for each in override["properties"]]
        for place in [fields["defaults"], *({each["id"]: each["value"]} for each in properties)]:
            for link in place.get("links", ()):
                for field in link.keys() - {"title", "url", "targetBlank"}:
                    del link[field]
    return made


def chosen(name: str, label: str, source: str, *, everything: str | None = ".+", first: str = "") -> Any:
    """A variable with the values of a PromQL query. `everything` is the regular expression for "All"; without it, exactly one
    value can be chosen, and `first` is chosen initially."""
    made = dashboard.QueryVariable(name).label(label).datasource(PROMETHEUS)
    made.query({"query": source, "refId": name, "qryType": 1})
    made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    if everything is None:
        return made.multi(False).include_all(False).current(VariableOption(text=first, value=first))
    return made.multi(True).include_all(True).all_value(everything).current(ALL)


def targets(metric: str) -> list[Any]:
    """The variables `job` and `instance` of the targets that expose `metric`."""
    return [
        chosen("job", "Job", f"label_values({metric}, job)"),
        chosen("instance", "Instance", f'label_values({metric}{{job=~"$job"}}, instance)'),
    ]


def constant(name: str, value: str) -> dashboard.ConstantVariable:
    """A hidden variable with a fixed value, defined in one place."""
    return dashboard.ConstantVariable(name).value(value)


def jaeger() -> dashboard.ConstantVariable:
    """Where Jaeger's own pages are, which some dashboards link to."""
    return constant("jaeger", OUTSIDE["jaeger"])


def restarts(matchers: str) -> dashboard.AnnotationQuery:
    """Mark the start of each process: at its address, or at one that is new and not merely back after a failed scrape."""
    started = f"process_start_time_seconds{{{matchers}}}"
    is_new = f"{started} > time() - 900 unless {started} offset $__rate_interval"
    expr = f"changes({started}[$__rate_interval]) > 0 or {is_new}"
    return _annotation("Restarts", "blue", expr, "{{job}} has started")


def alerts(services: str) -> dashboard.AnnotationQuery:
    """Mark the times at which alerts with a matching `service` label fire."""
    expr = f'ALERTS{{alertstate="firing", severity!="none", service=~"{services}"}}'
    return _annotation("Firing alerts", "red", expr, "{{alertname}} ({{service}})")


def _annotation(name: str, color: str, expr: str, title: str) -> dashboard.AnnotationQuery:
    made = dashboard.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(color)
    return made.target(query(expr).ref_id("Anno")).title_format(title)


def _datasource() -> dashboard.DatasourceVariable:
    made = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return made.current(VariableOption(text="Prometheus", value="prometheus"))
