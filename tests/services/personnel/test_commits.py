"""When COMMIT fails, no line, no count and no event speaks of what the rule has done."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import pytest

from libs.service_kit.transactions import transaction
from services.personnel.departments import consumers
from services.personnel.departments import service as departments
from services.personnel.departments.models import Department
from services.personnel.departments.schemas import DepartmentCreate, DepartmentUpdate
from services.personnel.employees import service as employees
from services.personnel.employees.models import Employee
from services.personnel.employees.schemas import (
    AppointmentCreate,
    EmployeeCreate,
    EmployeeUpdate,
    Leave,
    Transfer,
)
from tests.services.commits import ANY, Act, World, sites


async def run(world: World, rule: Callable[..., Awaitable[Any]], *given: Any) -> Any:
    async with transaction(world.sessions, world.actor.tenant_id, world.actor.id) as session:
        return await rule(session, world.actor, *given)


async def make_department(world: World) -> Department:
    return await run(world, departments.create, DepartmentCreate(code="sales", name="Sales"))


async def term(world: World, starts_on: date, ends_on: date) -> AppointmentCreate:
    department = await make_department(world)
    return AppointmentCreate(department_id=department.id, title="Clerk", starts_on=f"{starts_on}", ends_on=f"{ends_on}")


async def make_person(world: World) -> tuple[EmployeeCreate, AppointmentCreate]:
    first = await term(world, date(2020, 1, 1), date(2020, 12, 31))
    second = first.model_copy(update={"starts_on": date(2022, 1, 1), "ends_on": None})
    return EmployeeCreate(number="E-1", name="Jo Kim", email="jo@example.com", appointment=first), second


async def make_employee(world: World) -> tuple[Employee, AppointmentCreate]:
    person, second = await make_person(world)
    return await run(world, employees.hire, person), second


async def add(world: World) -> Act:
    return lambda: make_department(world)


async def change(world: World) -> Act:
    department = await make_department(world)
    return lambda: run(world, departments.update, department.id, ANY, DepartmentUpdate(name="Other"))


async def prepare(world: World) -> Act:
    return lambda: world.hear_of_tenant(consumers.on_tenant_created)


async def hire(world: World) -> Act:
    person, _ = await make_person(world)
    return lambda: run(world, employees.hire, person)


async def appoint(world: World) -> Act:
    employee, second = await make_employee(world)
    return lambda: run(world, employees.appoint, employee.id, second)


async def transfer(world: World) -> Act:
    employee, _ = await make_employee(world)
    other = await run(world, departments.create, DepartmentCreate(code="other", name="Other"))
    return lambda: run(
        world, employees.transfer, employee.id, ANY, Transfer(department_id=other.id, starts_on="2020-06-01")
    )


async def leave(world: World) -> Act:
    employee, _ = await make_employee(world)
    return lambda: run(world, employees.leave, employee.id, ANY, Leave(ends_on="2020-06-30"))


async def update(world: World) -> Act:
    employee, _ = await make_employee(world)
    return lambda: run(world, employees.update, employee.id, ANY, EmployeeUpdate(name="Other"))


CASES = {
    "departments.service._add DepartmentCreated": add,
    "departments.service.update DepartmentUpdated": change,
    "departments.consumers.on_tenant_created TenantPrepared": prepare,
    "employees.service.hire EmployeeHired": hire,
    "employees.service.appoint EmployeeAppointed": appoint,
    "employees.service.transfer EmployeeTransferred": transfer,
    "employees.service.leave EmployeeLeft": leave,
    "employees.service.update EmployeeUpdated": update,
}


@pytest.mark.parametrize("site", sites("personnel"))
async def test_nothing_speaks_of_what_is_not_committed(world, site):
    await world.hold(site, await CASES[site](world))
