"""Reads and locks of the department tree."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.service_kit.transactions import lock
from services.personnel.departments.models import Department


def departments(tenant_id: UUID) -> Select[Department]:
    """The tenant's departments."""
    return select(Department).where(Department.tenant_id == tenant_id)


async def find(session: AsyncSession, tenant_id: UUID, department_id: UUID) -> Department | None:
    """The department with this id."""
    return await session.scalar(departments(tenant_id).where(Department.id == department_id))


async def find_by_code(session: AsyncSession, tenant_id: UUID, code: str) -> Department | None:
    """The department with this code."""
    return await session.scalar(departments(tenant_id).where(Department.code == code))


async def lock_tree(session: AsyncSession, tenant_id: UUID) -> None:
    """Let nobody else move a department of this tenant until the transaction ends.

    It is an advisory lock and not a lock of rows, since a concurrent move changes which rows are above a department.
    Renaming, creating and hiring need no lock and do not wait.
    """
    await lock(session, f"department tree of {tenant_id}")


async def is_within(session: AsyncSession, tenant_id: UUID, inner_id: UUID, outer_id: UUID) -> bool:
    """Whether the inner department is the outer one or lies below it at any depth."""
    step = select(Department.id, Department.parent_id).where(Department.tenant_id == tenant_id)
    above = step.where(Department.id == inner_id).cte("above", recursive=True)
    above = above.union(step.join(above, Department.id == above.c.parent_id))
    return await session.scalar(select(above.c.id).where(above.c.id == outer_id)) is not None
