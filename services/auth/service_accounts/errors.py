"""What a service can be refused."""

from libs.service_kit.errors import Unauthorized


class InvalidClient(Unauthorized):
    detail = "The client id and its secret do not belong together."
