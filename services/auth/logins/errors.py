"""The refusals of logins."""

from libs.service_kit.errors import Forbidden, Unauthorized
from services.auth.guesses.errors import WrongGuess


class InvalidCredentials(Unauthorized, WrongGuess):
    detail = "The tenant, the e-mail or the password is wrong."


class TenantNotActive(Forbidden):
    detail = "The tenant is not active, so nobody logs in or stays logged in."


class InvalidRefreshToken(Unauthorized):
    detail = "The refresh token is unknown, has expired, or has been used before; log in again."
