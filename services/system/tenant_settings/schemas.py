"""Settings in requests and answers."""

from typing import Annotated

from pydantic import Field, StrictInt, StrictStr, StringConstraints

from libs.service_kit.fields import Input, Output

Text = Annotated[StrictStr, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
Number = Annotated[StrictInt, Field(ge=-(2**31), le=2**31 - 1)]


class SettingChange(Input):
    """The new value of a setting, of the setting's own type."""

    value: Text | Number


class SettingOut(Output):
    """A setting."""

    name: str
    value: str | int
    version: int = Field(description="0 while it has its default")


class SettingsOut(Output):
    """All settings."""

    items: list[SettingOut]
