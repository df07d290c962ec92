"""The refusals of password changes."""

from libs.service_kit.errors import Conflict, Forbidden, Unauthorized
from services.auth.guesses.errors import WrongGuess


class WrongPassword(Forbidden, WrongGuess):
    detail = "The current password is wrong."


class OwnPassword(Conflict):
    detail = "Nobody resets their own password; change it, which needs the current one."


class InvalidResetToken(Unauthorized, WrongGuess):
    detail = "The token is unknown, has expired, or has been used before; ask an administrator for another."
