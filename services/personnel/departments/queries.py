"""Reads and locks of the department tree."""

from uuid import UUID

from sqlalchemy import Select, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.personnel.departments.models import Department

# The first key names this kind of lock; the second is a hash of the tenant. Two tenants with the same hash only wait for
# each other.
_LOCK_TREE = text("select pg_advisory_xact_lock(1, hashtext(:tenant_id))")


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
    await session.execute(_LOCK_TREE, {"tenant_id": str(tenant_id)})


async def is_within(session: AsyncSession, tenant_id: UUID, inner_id: UUID, outer_id: UUID) -> bool:
    """Whether the inner department is the outer one or lies below it at any depth."""
    step = select(Department.id, Department.parent_id).where(Department.tenant_id == tenant_id)
    above = step.where(Department.id == inner_id).cte("above", recursive=True)
    above = above.union(step.join(above, Department.id == above.c.parent_id))
    return await session.scalar(select(above.c.id).where(above.c.id == outer_id)) is not None
