"""The refusals of users."""

from libs.service_kit.errors import Conflict, NotFound


class UserNotFound(NotFound):
    detail = "The tenant has no such user."


class EmailTaken(Conflict):
    detail = "Another user of the tenant has this e-mail."


class LastAdministrator(Conflict):
    detail = "The tenant would be left without an active administrator."
