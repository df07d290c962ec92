"""The kinds of panels that the dashboards consist of, each with its common look and behaviour."""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    heatmap,
    logs,
    prometheus,
    stat,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.logs import Options
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from grafana_dashboards.log_stores import Question, Store

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")

Query = prometheus.Dataquery
Limit = tuple[float, str]
Limits = Sequence[Limit]
"""Pairs of a lower bound and the colour from it on. Below the first bound a value is red if the last colour is green, that is if
more is better, and green otherwise."""

ALL_OF_THEM: Limits = ((1, "green"),)
"""For a share of things that run: it is green only while all of them do."""

NO_DATA = "no data"


def query(expr: str, legend: str = "", *, exemplars: bool = False) -> Query:
    """A query for a series over time. With `exemplars`, dots that link to traces are drawn over it."""
    asked = Query().expr(expr).range().datasource(PROMETHEUS).exemplar(exemplars)
    return asked.legend_format(legend) if legend else asked


def latest(expr: str, legend: str = "") -> Query:
    """A query for the value at the end of the time range only."""
    asked = Query().expr(expr).instant().datasource(PROMETHEUS)
    return asked.legend_format(legend) if legend else asked


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Any,
    width: int = 12,
    stacked: bool = False,
    top: float | None = None,
    below_zero: bool = False,
    limits: Limits = (),
    links: Sequence[DashboardLink] = (),
) -> timeseries.Panel:
    """Lines over time. The axis starts at 0 unless values can be `below_zero`, and ends at `top` if given; `limits` are dashed
    lines."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).datasource(PROMETHEUS)
    panel.span(width).height(8).targets(_named(queries)).data_links(list(links))
    panel.fill_opacity(30 if stacked else 10).show_points(VisibilityMode.NEVER).span_nulls(60_000)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(True))
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if not below_zero:
        panel.min(0)
    if top is not None:
        panel.max(top)
    if limits:
        panel.thresholds(_thresholds(limits))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    expr: str,
    legend: str = "",
    *,
    width: int = 4,
    height: int = 4,
    limits: Limits = (),
    decimals: int | None = None,
    links: Sequence[DashboardLink] = (),
    none: str = NO_DATA,
) -> stat.Panel:
    """The present value, coloured by `limits` if there are any; `none` is shown, without a colour, if there is no value.

    It is an instant query: the last value of a range would still be shown, in green, after its source has gone.
    """
    panel = stat.Panel().title(title).description(description).unit(unit).datasource(PROMETHEUS)
    panel.span(width).height(height).targets(_named([latest(expr, legend)])).data_links(list(links))
    panel.thresholds(_thresholds(limits)).graph_mode(BigValueGraphMode.NONE)
    panel.color_mode(BigValueColorMode.VALUE if limits else BigValueColorMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if decimals is not None:
        panel.decimals(decimals)
    return panel.no_value(none).mappings([_nothing(none)])


def word(title: str, description: str, expr: str, legend: str, *, width: int = 4) -> stat.Panel:
    """The legend of a series instead of its value."""
    return number(title, description, "short", expr, legend, width=width).text_mode(BigValueTextMode.NAME)


def heat(
    title: str, description: str, unit: str, expr: str, *, width: int = 12, exemplars: bool = False
) -> heatmap.Panel:
    """The counts in the buckets of a histogram over time."""
    buckets = query(expr, "{{le}}", exemplars=exemplars).format(PromQueryFormat.HEATMAP)
    panel = heatmap.Panel().title(title).description(description).datasource(PROMETHEUS).span(width).height(8)
    panel.targets(_named([buckets])).unit("short").y_axis(heatmap.YAxisConfig().unit(unit))
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
    return panel.show_legend()


Column = tuple[str, str, str, Limits]
"""Heading, expression, unit, limits."""


def grid(
    title: str,
    description: str,
    by: Sequence[tuple[str, str]],
    *columns: Column,
    width: int = 24,
    height: int = 7,
    links: Sequence[DashboardLink] = (),
    names: Mapping[str, str] | None = None,
) -> table.Panel:
    """A row for each value of the labels `by` (label, heading), a column for each expression. The first column has the `links`, and
    shows `names` instead of values.

    An expression must yield these labels and no others, not even a metric name: Grafana joins rows by all labels.
    """
    panel = table.Panel().title(title).description(description).unit("short").datasource(PROMETHEUS)
    asked = [latest(expr).format(PromQueryFormat.TABLE) for _, expr, _, _ in columns]
    panel.span(width).height(height).targets(_named(asked)).no_value("–").mappings([_nothing("–")])
    value = "Value" if len(columns) == 1 else "Value #{}"
    values = {value.format(_letter(at)): heading for at, (heading, _, _, _) in enumerate(columns)}
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    order = {name: at for at, name in enumerate([label for label, _ in by] + list(values))}
    shown = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": dict(by) | values}
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=shown))
    for heading, _, unit, limits in columns:
        looks = [DynamicConfigValue("unit", unit)]
        if limits:
            looks += [
                DynamicConfigValue("thresholds", _thresholds(limits).build().to_json()),
                DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
            ]
        panel.override_by_name(heading, looks)
    first = [DynamicConfigValue("links", [link.build().to_json() for link in links])]
    if names:
        shown = {value: ValueMappingResult(text=name) for value, name in names.items()}
        first.append(DynamicConfigValue("mappings", [ValueMap(shown).to_json()]))
    if links:
        panel.override_by_name(by[0][1], first)
    return panel


def lines(store: Store, question: Question, *, width: int = 24) -> logs.Panel:
    """Log lines of one of the stores, the newest first unless the question wants the oldest first."""
    panel = logs.Panel().title(question.title).description(question.description).datasource(store.source)
    panel.span(width).height(10).targets(_named([store.lines(question)]))
    order = LogsSortOrder.ASCENDING if question.oldest_first else LogsSortOrder.DESCENDING
    options = Options(show_time=True, enable_log_details=True, sort_order=order)
    # The SDK has no word for the last one.
    panel.build().options = {**options.to_json(), "displayedFields": store.shown}
    return panel


def page(title: str, markdown: str, *, height: int) -> text.Panel:
    """A text."""
    panel = text.Panel().title(title).span(24).height(height)
    return panel.mode(TextMode.MARKDOWN).content(markdown)


def _named(queries: Sequence[Any]) -> list[Any]:
    return [asked.ref_id(_letter(at)) for at, asked in enumerate(queries)]


def _letter(at: int) -> str:
    return chr(ord("A") + at)


def _nothing(text: str) -> SpecialValueMap:
    """Without a mapping, Grafana gives a missing value the first colour of the thresholds, mostly green."""
    shown = ValueMappingResult(text=text, color="text")
    return SpecialValueMap(DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=shown))


def _thresholds(limits: Limits) -> ThresholdsConfig:
    lowest = {"": "text", "green": "red"}.get(limits[-1][1] if limits else "", "green")
    steps = [Threshold(value=None, color=lowest), *(Threshold(value=value, color=color) for value, color in limits)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
