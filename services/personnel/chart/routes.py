"""The organisation chart over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from libs.service_kit.auth import Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.fields import Day
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.personnel.chart import service
from services.personnel.chart.errors import ChartTooLarge
from services.personnel.chart.schemas import ChartOut
from services.personnel.employees.models import today

router = NounRouter(prefix="/api/v1/departments/chart", tags=["departments"])
Reader = Annotated[Principal, Depends(requires("personnel:read"))]


@router.get("", responses=problems(ChartTooLarge))
async def get_chart(
    actor: Reader,
    session: DatabaseSession,
    on: Annotated[Day | None, Query(description="The day; today (UTC) if it is left out")] = None,
    department_id: Annotated[UUID | None, Query(description="Only this department and all below it")] = None,
) -> ChartOut:
    """The organisation chart as of a day.

    Who works where, and with which title, is as of the day, by the appointments as they are known now. The departments,
    their tree and their names are as they are now, and so are the names of people: earlier ones are not kept here, but
    the audit trail has each move and renaming. A chart that is too large is refused; its parts can be asked for.
    """
    return await service.draw(session, actor, on or today(), department_id)
