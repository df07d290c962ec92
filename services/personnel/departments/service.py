"""The rules of departments: creating, renaming and moving them, without ever closing a circle."""

from functools import partial
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.personnel import DepartmentCreated, DepartmentUpdated
from libs.observability import get_logger
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from libs.service_kit.transactions import after_commit
from services.personnel.departments import queries
from services.personnel.departments.errors import DepartmentCycle, DepartmentNotFound
from services.personnel.departments.models import Department
from services.personnel.departments.schemas import DepartmentCreate, DepartmentUpdate

log = get_logger(__name__)

ROOT_CODE = "root"
"""The code of the department that every tenant starts with."""


async def get(session: AsyncSession, actor: Principal, department_id: UUID) -> Department:
    """The department with this id. Raises `DepartmentNotFound`."""
    return found(await queries.find(session, actor.tenant_id, department_id), DepartmentNotFound, department_id)


async def create(session: AsyncSession, actor: Principal, wanted: DepartmentCreate) -> Department:
    """Create a department. It has nothing below it yet, so it cannot close a circle."""
    return await _add(session, actor.tenant_id, wanted.code, wanted.name, wanted.parent_id)


async def update(
    session: AsyncSession, actor: Principal, department_id: UUID, expected: Expected, wanted: DepartmentUpdate
) -> Department:
    """Rename a department, or move it with all that is below it."""
    moves = "parent_id" in wanted.model_fields_set
    if moves:
        # Locked before anything is read: two moves that are harmless alone could close a circle together.
        await queries.lock_tree(session, actor.tenant_id)
    department = await get(session, actor, department_id)
    expected.check(department)
    if moves:
        parent_id = wanted.parent_id
        if parent_id and await queries.is_within(session, actor.tenant_id, parent_id, department.id):
            raise DepartmentCycle(f"The department {parent_id} is this department or lies below it.")
        department.parent_id = parent_id
    department.name = wanted.name or department.name
    if session.is_modified(department):
        await session.flush()
        publish(
            session,
            DepartmentUpdated(department_id=department.id, name=department.name, parent_id=department.parent_id),
        )
    return department


async def plant(session: AsyncSession, tenant_id: UUID, name: str) -> None:
    """Create the tenant's root department, unless it exists."""
    if await queries.find_by_code(session, tenant_id, ROOT_CODE) is None:
        await _add(session, tenant_id, ROOT_CODE, name, parent_id=None)


async def uproot(session: AsyncSession, tenant_id: UUID) -> None:
    """Delete the root department, unless a department or an appointment refers to it."""
    root = delete(Department).where(Department.tenant_id == tenant_id, Department.code == ROOT_CODE)
    try:
        async with session.begin_nested():
            await session.execute(root)
    except IntegrityError:
        after_commit(session, partial(log.info, "root department kept", tenant_id=str(tenant_id)))


async def _add(session: AsyncSession, tenant_id: UUID, code: str, name: str, parent_id: UUID | None) -> Department:
    department = Department(tenant_id=tenant_id, code=code, name=name, parent_id=parent_id)
    session.add(department)
    await session.flush()
    publish(session, DepartmentCreated(department_id=department.id, code=code, name=name, parent_id=parent_id))
    return department
