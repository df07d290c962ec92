"""The refusals of accounts."""

from libs.service_kit.errors import Conflict, NotFound


class AccountNotFound(NotFound):
    detail = "There is no such account."


class AccountCodeTaken(Conflict):
    detail = "Another account has this code."
