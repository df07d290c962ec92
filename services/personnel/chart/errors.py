"""The refusal of the organisation chart."""

from libs.service_kit.errors import Invalid

MOST_LINES = 2000
"""The most lines of a chart: one for each person, and one for each department without people."""


class ChartTooLarge(Invalid):
    detail = f"The chart has more than {MOST_LINES} people and empty departments; ask for a part with `department_id`."
