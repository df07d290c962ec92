"""Log lines: the same questions to whichever store holds them. Every link to log lines leads here."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from grafana_dashboards.board import ALL, board
from grafana_dashboards.log_stores import ALL_ERRORS, COUNTS, ERRORS, LINES, TRACE, USER, Store
from grafana_dashboards.panels import graph, lines


def build(store: Store) -> str:
    """The JSON of this dashboard for one of the stores."""
    counts = [
        graph(
            count.title,
            "Of the chosen services, in the selected time range.",
            "short",
            store.numbers(count),
            stacked=True,
        ).datasource(store.source)
        for count in COUNTS
    ]
    services = dashboard.QueryVariable("service").label("Service").datasource(store.source).query(store.services)
    services.multi(True).include_all(True).all_value(store.every_service).current(ALL)
    services.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    ids = [
        dashboard.TextBoxVariable(name).label(label).default_value("").current(VariableOption(text="", value=""))
        for name, label in (("trace_id", "Trace id, or how it begins"), ("user_id", "User id"))
    ]
    return board(
        "log-lines",
        "Log lines",
        "What the services say: by volume, by service, by level, by trace and by user.",
        [
            ("Volume", counts),
            ("Lines", [lines(store, LINES)]),
            ("Errors", [lines(store, ALL_ERRORS), lines(store, ERRORS)]),
            ("One trace", [lines(store, TRACE)]),
            ("One user", [lines(store, USER)]),
        ],
        variables=[services, *ids, *store.programs],
        links=store.links,
        refresh="",  # a link to a trace asks for all days that are kept
    )
