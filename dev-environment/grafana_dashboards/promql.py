"""The PromQL expressions that recur on the dashboards."""


def rate(metric: str, matchers: str = "", by: str = "") -> str:
    """The per-second rate of a counter, summed."""
    return f"{_sum(by)} (rate({metric}{_braces(matchers)}[$__rate_interval]))"


def highest(metric: str, matchers: str = "", by: str = "") -> str:
    """The highest of the per-second rates of a counter."""
    return f"max{f' by ({by})' if by else ''} (rate({metric}{_braces(matchers)}[$__rate_interval]))"


def total(metric: str, matchers: str = "") -> str:
    """The increase of a counter over the selected time range, summed."""
    return f"sum(increase({metric}{_braces(matchers)}[$__range]))"


def quantile(q: float, histogram: str, matchers: str = "", by: str = "") -> str:
    """The quantile `q` (0 to 1) of a classic histogram."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', matchers, labels)})"


def share(part: str, whole: str) -> str:
    """`part` divided by `whole`, which must have the same labels: 0 if the part has no series yet, no value if the whole is 0."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"


def _braces(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
