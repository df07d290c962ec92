"""The business metrics of the personnel service."""

from prometheus_client import Counter

HIRES = Counter("personnel_hires_total", "People hired.")
