"""The rules of roles: the built-in ones of a tenant, and its own."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.auth import RoleCreated, RoleUpdated
from libs.contracts.permissions import PLATFORM_PERMISSIONS, TENANT_PERMISSIONS
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from services.auth.roles import queries
from services.auth.roles.errors import BuiltinRole, RoleNotFound, UnknownRole
from services.auth.roles.models import Role
from services.auth.roles.power import acting, refuse_grant, refuse_outranked
from services.auth.roles.schemas import RoleCreate, RoleUpdate

ADMINISTRATOR = "administrator"
PLATFORM_ADMINISTRATOR = "platform administrator"
ADMINISTRATORS = (ADMINISTRATOR, PLATFORM_ADMINISTRATOR)

TENANT_ROLES = {
    ADMINISTRATOR: list(TENANT_PERMISSIONS),
    "manager": ["budget:approve", "budget:read", "budget:request", "personnel:read"],
    "member": ["budget:read", "budget:request"],
}
# Users of the platform neither take part in a tenant's business nor deliver events.
PLATFORM_ROLES = {
    PLATFORM_ADMINISTRATOR: [
        *(name for name in PLATFORM_PERMISSIONS if name != "events:deliver"),
        *(name for name in TENANT_PERMISSIONS if name.startswith(("users:", "roles:", "audit:"))),
    ]
}


async def create_builtin(session: AsyncSession, tenant_id: UUID, wanted: Mapping[str, Sequence[str]]) -> list[Role]:
    """Create the tenant's missing built-in roles. The session must be bound to the tenant."""
    existing = {role.name for role in await queries.named(session, tenant_id, list(wanted))}
    made = [
        Role(tenant_id=tenant_id, name=name, permissions=sorted(permissions), is_builtin=True)
        for name, permissions in wanted.items()
        if name not in existing
    ]
    session.add_all(made)
    await session.flush()
    for role in made:
        publish(session, RoleCreated(role_id=role.id, name=role.name, permissions=role.permissions))
    return made


async def get(session: AsyncSession, actor: Principal, role_id: UUID) -> Role:
    """The role. Raises `RoleNotFound`."""
    return found(await queries.find(session, actor.tenant_id, role_id), RoleNotFound, role_id)


async def create(session: AsyncSession, actor: Principal, wanted: RoleCreate) -> Role:
    """Create a role. Raises `CannotGrant` unless the actor has all its permissions."""
    refuse_grant(await acting(session, actor, "roles:write"), wanted.permissions)
    role = Role(tenant_id=actor.tenant_id, name=wanted.name, permissions=sorted(set(wanted.permissions)))
    session.add(role)
    await session.flush()
    publish(session, RoleCreated(role_id=role.id, name=role.name, permissions=role.permissions))
    return role


async def update(
    session: AsyncSession, actor: Principal, role_id: UUID, expected: Expected, wanted: RoleUpdate
) -> Role:
    """Replace the permissions of a role. Raises `BuiltinRole`, `Outranked`, `CannotGrant`."""
    power = await acting(session, actor, "roles:write")
    role = await get(session, actor, role_id)
    expected.check(role)
    if role.is_builtin:
        raise BuiltinRole()
    holders = await queries.permissions_of_holders(session, actor.tenant_id, role.id)
    refuse_outranked(power, [*role.permissions, *holders])
    refuse_grant(power, wanted.permissions)
    role.permissions = sorted(set(wanted.permissions))
    await session.flush()
    publish(session, RoleUpdated(role_id=role.id, name=role.name, permissions=role.permissions))
    return role


async def resolve(session: AsyncSession, tenant_id: UUID, names: Iterable[str]) -> list[Role]:
    """The roles with these names. Raises `UnknownRole` unless the tenant has them all."""
    wanted = set(names)
    known = await queries.named(session, tenant_id, sorted(wanted))
    if unknown := wanted - {role.name for role in known}:
        raise UnknownRole(unknown=sorted(unknown))
    return list(known)
