"""The business metrics of the personnel service."""

from prometheus_client import Counter

from libs.contracts.personnel import EmployeeHired
from libs.service_kit.events.outbox import Counts

HIRES = Counter("personnel_hires_total", "People hired.")
COUNTS: Counts = {EmployeeHired: lambda _: HIRES.inc()}
