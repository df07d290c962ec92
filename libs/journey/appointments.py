"""The steps of an employee's later life: a transfer, a departure, a further appointment, and the chart that shows them."""

from datetime import UTC, datetime, timedelta

from libs.journey.client import Actor, Answer
from libs.journey.steps import StepFailed


def transfer(admin: Actor, employee: Answer, department_id: str) -> Answer:
    """An administrator transfers an employee, as last seen, to another department from today on."""
    return _move(admin, employee, "transfer", {"department_id": department_id, "starts_on": day()})


def leave(admin: Actor, employee: Answer) -> Answer:
    """An administrator makes today the last day of an employee, as last seen."""
    return _move(admin, employee, "leave", {"ends_on": day()})


def appoint(admin: Actor, employee: Answer, starts_on: str) -> Answer:
    """An administrator appoints an employee again, as in their last appointment, from a day on."""
    last = employee.body["appointments"][-1]
    wanted = {"department_id": last["department_id"], "title": last["title"], "starts_on": starts_on}
    return admin.create("personnel", f"/api/v1/employees/{employee.body['id']}/appointments", wanted)


def find_in_chart(reader: Actor, employee_id: str, on: str) -> tuple[str, Answer]:
    """The name of the department in which a day's organisation chart shows an employee, and the chart.

    Raises `StepFailed` if it does not show them.
    """
    chart = reader.get("personnel", "/api/v1/departments/chart", params={"on": on})
    for department in chart.body["departments"]:
        if any(person["employee_id"] == employee_id for person in department["people"]):
            return department["name"], chart
    raise StepFailed("personnel", f"the chart of {on} does not show the employee {employee_id}")


def day(offset: int = 0) -> str:
    """Today in UTC, the date by which personnel decides who is employed, or another day counted from it."""
    return (datetime.now(UTC).date() + timedelta(days=offset)).isoformat()


def _move(admin: Actor, employee: Answer, verb: str, wanted: dict[str, str]) -> Answer:
    path = f"/api/v1/employees/{employee.body['id']}/{verb}"
    return admin.call("personnel", "POST", path, json=wanted, if_match=employee.etag, expect=200)
