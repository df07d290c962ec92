"""Quantiles from the counts of a histogram, as Prometheus estimates them."""

from collections.abc import Sequence


def quantile(part: float, bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """The value below which this part of what was counted is; None if nothing was.

    `counts` are those of each bucket alone, and one more than the upper bounds: of what is above the last, for which
    that bound stands.
    """
    left = part * sum(counts)
    if left <= 0:
        return None
    below = 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count >= left:
            return below + (bound - below) * left / count
        left -= count
        below = bound
    return below
