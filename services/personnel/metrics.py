"""The business metrics of the personnel service."""

from prometheus_client import Counter

from libs.contracts.personnel import EmployeeAppointed, EmployeeHired, EmployeeLeft, EmployeeTransferred
from libs.service_kit.events.outbox import Counts

HIRES = Counter("personnel_hires_total", "People hired.")
APPOINTMENTS = Counter("personnel_appointments_total", "Further appointments: people hired again, or for another term.")
TRANSFERS = Counter("personnel_transfers_total", "Transfers into another department.")
DEPARTURES = Counter("personnel_departures_total", "Last days that were set.")
COUNTS: Counts = {
    EmployeeHired: lambda _: HIRES.inc(),
    EmployeeAppointed: lambda _: APPOINTMENTS.inc(),
    EmployeeTransferred: lambda _: TRANSFERS.inc(),
    EmployeeLeft: lambda _: DEPARTURES.inc(),
}
