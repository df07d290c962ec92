"""The few shapes of PromQL that come again and again."""


def rate(metric: str, matchers: str = "", by: str = "") -> str:
    """How fast a counter grows, per second, summed."""
    return f"{_sum(by)} (rate({metric}{_braces(matchers)}[$__rate_interval]))"


def total(metric: str, matchers: str = "") -> str:
    """By how much a counter has grown in the time shown, summed."""
    return f"sum(increase({metric}{_braces(matchers)}[$__range]))"


def quantile(q: float, histogram: str, matchers: str = "", by: str = "") -> str:
    """The value that the share `q` of the observations does not exceed, from classic buckets."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', matchers, labels)})"


def share(part: str, whole: str) -> str:
    """`part` of `whole`, both summed by the same labels: 0 when the part has no series yet, nothing when the whole is 0."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"


def _braces(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
