"""The refusals of codes and their groups."""

from libs.service_kit.errors import Conflict, Invalid, NotFound


class CodeGroupNotFound(NotFound):
    detail = "There is no such code group."


class CodeNotFound(NotFound):
    detail = "There is no such code."


class CodeGroupTaken(Conflict):
    detail = "Another code group has this code."


class CodeTaken(Conflict):
    detail = "The group has this code already."


class UnknownCodeGroup(Invalid):
    detail = "There is no code group with this `code_group_id`."
