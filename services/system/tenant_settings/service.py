"""The rules of settings: reading them with their defaults, and changing one."""

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.system import SettingChanged
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from services.system.tenant_settings import queries
from services.system.tenant_settings.errors import InvalidSetting, SettingNotFound
from services.system.tenant_settings.known import KNOWN
from services.system.tenant_settings.models import TenantSetting
from services.system.tenant_settings.schemas import SettingChange


async def all_of(session: AsyncSession, actor: Principal) -> list[TenantSetting]:
    """All settings of the actor's tenant, by name."""
    changed = {each.name: each for each in await session.scalars(queries.changed(actor.tenant_id))}
    return [changed.get(name) or _default(actor, name) for name in sorted(KNOWN)]


async def get(session: AsyncSession, actor: Principal, name: str) -> TenantSetting:
    """The setting of this name. Raises `SettingNotFound`."""
    found(KNOWN.get(name), SettingNotFound, name)
    return await session.scalar(queries.changed(actor.tenant_id, name)) or _default(actor, name)


async def change(
    session: AsyncSession, actor: Principal, name: str, expected: Expected, wanted: SettingChange
) -> TenantSetting:
    """Change a setting. Raises `SettingNotFound` and `InvalidSetting`."""
    setting = await get(session, actor, name)
    expected.check(setting)
    try:
        value = KNOWN[name].type.validate_python(wanted.value)
    except ValidationError as error:
        raise InvalidSetting(f"{name}: {error.errors()[0]['msg']}.") from None
    if value != setting.value:
        if setting.version == 0:
            setting = TenantSetting(tenant_id=actor.tenant_id, name=name)
            session.add(setting)
        setting.value = value
        await session.flush()
        publish(session, SettingChanged(setting_id=setting.id, name=name, value=value))
    return setting


def _default(actor: Principal, name: str) -> TenantSetting:
    return TenantSetting(tenant_id=actor.tenant_id, name=name, value=KNOWN[name].default, version=0)
