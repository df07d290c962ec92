"""The refusals of guesses."""

from libs.service_kit.errors import TooManyRequests


class WrongGuess(Exception):
    """The base of every refusal that says that a password or a secret is wrong: it counts."""


class TooManyGuesses(TooManyRequests):
    detail = "Too many wrong guesses at this account or from this address; Retry-After says when to try again."
