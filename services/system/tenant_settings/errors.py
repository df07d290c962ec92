"""The refusals of settings."""

from libs.service_kit.errors import Invalid, NotFound, PreconditionFailed


class SettingNotFound(NotFound):
    detail = "There is no setting of this name."


class InvalidSetting(Invalid):
    detail = "The setting cannot have this value."


class SettingChangedMeanwhile(PreconditionFailed):
    detail = "Somebody else has just changed the setting; read it again."
