"""Settings over HTTP. Everybody in the tenant may read them."""

from typing import Annotated

from fastapi import Depends, Path, Response

from libs.service_kit.auth import Caller, Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.system.tenant_settings import service
from services.system.tenant_settings.errors import InvalidSetting, SettingChangedMeanwhile, SettingNotFound
from services.system.tenant_settings.models import TenantSetting
from services.system.tenant_settings.schemas import SettingChange, SettingOut, SettingsOut

router = NounRouter(prefix="/api/v1/settings", tags=["settings"])
Writer = Annotated[Principal, Depends(requires("system:write"))]
SettingName = Annotated[str, Path(max_length=100)]


@router.get("")
async def list_settings(actor: Caller, session: DatabaseSession) -> SettingsOut:
    """All settings, by name, each with its value or its default."""
    return SettingsOut.model_validate({"items": await service.all_of(session, actor)})


@router.get("/{setting_name}", response_model=SettingOut, responses=problems(SettingNotFound))
async def get_setting(
    setting_name: SettingName, actor: Caller, session: DatabaseSession, response: Response
) -> TenantSetting:
    """One setting."""
    return with_etag(response, await service.get(session, actor, setting_name))


@router.put(
    "/{setting_name}",
    response_model=SettingOut,
    responses=problems(SettingNotFound, InvalidSetting, SettingChangedMeanwhile),
)
async def change_setting(
    setting_name: SettingName,
    wanted: SettingChange,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> TenantSetting:
    """Change a setting."""
    return with_etag(response, await service.change(session, actor, setting_name, expected, wanted))
