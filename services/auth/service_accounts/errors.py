"""The refusals of service accounts."""

from libs.service_kit.errors import Unauthorized
from services.auth.guesses.errors import WrongGuess


class InvalidClient(Unauthorized, WrongGuess):
    detail = "The client id or the client secret is wrong."
