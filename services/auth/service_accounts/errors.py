"""The refusals of service accounts."""

from libs.service_kit.errors import Unauthorized


class InvalidClient(Unauthorized):
    detail = "The client id or the client secret is wrong."
