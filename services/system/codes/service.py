"""The rules of codes and their groups: adding and changing them."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.system import CodeCreated, CodeGroupCreated, CodeGroupUpdated, CodeUpdated
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from services.system.codes import queries
from services.system.codes.errors import CodeGroupNotFound, CodeNotFound
from services.system.codes.models import CodeGroup, CommonCode
from services.system.codes.schemas import CodeCreate, CodeGroupCreate, CodeGroupUpdate, CodeUpdate


async def get_group(session: AsyncSession, actor: Principal, code_group_id: UUID) -> CodeGroup:
    """The code group with this id. Raises `CodeGroupNotFound`."""
    return found(await queries.find_group(session, actor.tenant_id, code_group_id), CodeGroupNotFound, code_group_id)


async def get_code(session: AsyncSession, actor: Principal, code_id: UUID) -> CommonCode:
    """The code with this id. Raises `CodeNotFound`."""
    return found(await queries.find_code(session, actor.tenant_id, code_id), CodeNotFound, code_id)


async def create_group(session: AsyncSession, actor: Principal, wanted: CodeGroupCreate) -> CodeGroup:
    """Add a code group."""
    group = CodeGroup(tenant_id=actor.tenant_id, **wanted.model_dump())
    session.add(group)
    await session.flush()
    publish(session, CodeGroupCreated(code_group_id=group.id, code=group.code, name=group.name))
    return group


async def rename_group(
    session: AsyncSession, actor: Principal, code_group_id: UUID, expected: Expected, wanted: CodeGroupUpdate
) -> CodeGroup:
    """Rename a code group."""
    group = await get_group(session, actor, code_group_id)
    expected.check(group)
    group.name = wanted.name
    if session.is_modified(group):
        await session.flush()
        publish(session, CodeGroupUpdated(code_group_id=group.id, name=group.name))
    return group


async def create_code(session: AsyncSession, actor: Principal, wanted: CodeCreate) -> CommonCode:
    """Add a code to a group."""
    code = CommonCode(tenant_id=actor.tenant_id, **wanted.model_dump())
    session.add(code)
    await session.flush()
    publish(session, CodeCreated(code_id=code.id, code_group_id=code.code_group_id, code=code.code, name=code.name))
    return code


async def update_code(
    session: AsyncSession, actor: Principal, code_id: UUID, expected: Expected, wanted: CodeUpdate
) -> CommonCode:
    """Rename a code, or let it be offered no more, or again."""
    code = await get_code(session, actor, code_id)
    expected.check(code)
    code.name = wanted.name or code.name
    code.is_active = code.is_active if wanted.is_active is None else wanted.is_active
    if session.is_modified(code):
        await session.flush()
        publish(session, CodeUpdated(code_id=code.id, name=code.name, is_active=code.is_active))
    return code
