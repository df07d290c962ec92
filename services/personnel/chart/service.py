"""The rule of the organisation chart: who works where on a day, in the order in which a tree is drawn."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.auth import Principal
from services.personnel.chart import queries
from services.personnel.chart.errors import MOST_LINES, ChartTooLarge
from services.personnel.chart.schemas import ChartDepartment, ChartOut, ChartPerson
from services.personnel.departments.models import Department


async def draw(session: AsyncSession, actor: Principal, day: date, top_id: UUID | None) -> ChartOut:
    """The chart of that day: of the whole tenant, or of one department and all below it. Raises `ChartTooLarge`."""
    query = queries.lines(actor.tenant_id, day, top_id).limit(MOST_LINES + 1)
    rows = (await session.execute(query)).all()
    if len(rows) > MOST_LINES:
        raise ChartTooLarge()
    departments: dict[Department, list[ChartPerson]] = {}
    for department, person, term in rows:
        people = departments.setdefault(department, [])
        if person:
            people.append(ChartPerson(employee_id=person.id, name=person.name, title=term.title))
    ordered = [
        ChartDepartment(
            id=each.id, code=each.code, name=each.name, parent_id=each.parent_id, depth=depth, people=departments[each]
        )
        for depth, each in _as_drawn(departments, top_id)
    ]
    return ChartOut(on=day, departments=ordered)


def _as_drawn(departments: Iterable[Department], top_id: UUID | None) -> Iterable[tuple[int, Department]]:
    """Each department before those below it, with its depth. It does not recurse, since a tree may be of any depth."""
    below: defaultdict[UUID | None, list[Department]] = defaultdict(list)
    for each in departments:
        below[None if each.id == top_id else each.parent_id].append(each)
    waiting = [(0, each) for each in reversed(below[None])]
    while waiting:
        depth, department = waiting.pop()
        yield depth, department
        waiting += [(depth + 1, each) for each in reversed(below[department.id])]
