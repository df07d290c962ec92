"""When COMMIT fails, no line, no count and no event speaks of what the rule has done."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from libs.contracts.tenant import TenantActivated
from libs.service_kit.transactions import transaction
from services.auth.logins import service as logins
from services.auth.logins.errors import InvalidRefreshToken
from services.auth.logins.schemas import Login
from services.auth.password_changes import service as password_changes
from services.auth.password_changes.schemas import PasswordChange
from services.auth.roles import service as roles
from services.auth.roles.schemas import RoleCreate, RoleUpdate
from services.auth.tenants import consumers
from services.auth.users import service as users
from services.auth.users.models import User
from services.auth.users.schemas import UserCreate, UserUpdate
from tests.services.auth.conftest import PASSWORD
from tests.services.commits import ANY, Act, World, sites

EMAIL = "ada@example.com"


async def run(world: World, rule: Callable[..., Awaitable[Any]], *given: Any) -> Any:
    async with transaction(world.sessions, world.actor.tenant_id, world.actor.id) as session:
        return await rule(session, world.actor, *given)


def code(world: World) -> str:
    return f"t-{world.actor.tenant_id.hex}"


async def make_tenant(world: World) -> None:
    await world.hear_of_tenant(consumers.on_tenant_created, code(world))
    async with transaction(world.sessions, world.actor.tenant_id) as session:
        await consumers.on_tenant_activated(session, TenantActivated(tenant_id=world.actor.tenant_id))


async def make_user(world: World) -> User:
    tenant_id = world.actor.tenant_id
    password_hash = await users.hash_new_password(world.sessions, tenant_id, EMAIL, PASSWORD)
    wanted = UserCreate(email=EMAIL, name="Ada Park", password=PASSWORD, roles=["member"])
    return await run(world, users.create, wanted, password_hash)


async def log_in(world: World) -> logins.Tokens:
    return await logins.log_in(world.sessions, Login(tenant=code(world), email=EMAIL, password=PASSWORD), "192.0.2.1")


async def prepare(world: World) -> Act:
    return lambda: world.hear_of_tenant(consumers.on_tenant_created, code(world))


async def refuse(world: World) -> Act:
    await make_tenant(world)
    other = replace(world, actor=replace(world.actor, tenant_id=uuid4()))
    return lambda: other.hear_of_tenant(consumers.on_tenant_created, code(world))


async def create(world: World) -> Act:
    await make_tenant(world)
    return lambda: make_user(world)


async def update(world: World) -> Act:
    await make_tenant(world)
    user = await make_user(world)
    return lambda: run(world, users.update, user.id, ANY, UserUpdate(name="Bo"))


async def switch_off(world: World) -> Act:
    await make_tenant(world)
    user = await make_user(world)
    await log_in(world)
    return lambda: run(world, users.update, user.id, ANY, UserUpdate(is_active=False))


async def begin(world: World) -> Act:
    await make_tenant(world)
    await make_user(world)
    return lambda: log_in(world)


async def end(world: World) -> Act:
    await (await begin(world))()
    tokens = await log_in(world)
    return lambda: logins.log_out(world.sessions, tokens.refresh_token)


async def use_twice(world: World) -> Act:
    await (await begin(world))()
    tokens = await log_in(world)
    await logins.refresh(world.sessions, tokens.refresh_token)

    async def act() -> None:
        with suppress(InvalidRefreshToken):
            await logins.refresh(world.sessions, tokens.refresh_token)

    return act


async def create_role(world: World) -> Act:
    await make_tenant(world)
    return lambda: run(world, roles.create, RoleCreate(name="clerk", permissions=["users:read"]))


async def update_role(world: World) -> Act:
    role = await (await create_role(world))()
    return lambda: run(world, roles.update, role.id, ANY, RoleUpdate(permissions=["roles:read"]))


async def change_password(world: World) -> Act:
    await make_tenant(world)
    user = await make_user(world)
    given = PasswordChange(current_password=PASSWORD, new_password=f"{PASSWORD} 2")
    return lambda: password_changes.change(world.sessions, replace(world.actor, id=user.id), given, "192.0.2.1")


async def reset_password(world: World) -> Act:
    await make_tenant(world)
    user = await make_user(world)
    return lambda: run(world, password_changes.issue_reset, user.id)


CASES = {
    "tenants.service.prepare TenantPrepared": prepare,
    "tenants.service.prepare TenantPreparationFailed": refuse,
    "roles.service.create_builtin RoleCreated": prepare,
    "roles.service.create RoleCreated": create_role,
    "roles.service.update RoleUpdated": update_role,
    "users.service.add UserCreated": create,
    "users.service.update UserUpdated": update,
    "users.service._log_out_everywhere UserSessionsRevoked": switch_off,
    "logins.service._check UserLoggedIn": begin,
    "logins.service.log_out UserLoggedOut": end,
    "password_changes.service.replace UserPasswordChanged": change_password,
    "password_changes.service.issue_reset UserPasswordReset": reset_password,
    "logins.service._rotate UserSessionsRevoked": use_twice,
}


@pytest.mark.parametrize("site", sites("auth"))
async def test_nothing_speaks_of_what_is_not_committed(world, site):
    await world.hold(site, await CASES[site](world))
