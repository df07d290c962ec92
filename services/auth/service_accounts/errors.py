"""What a service can be refused."""

from libs.service_kit.errors import Unauthorized


class InvalidClient(Unauthorized):
    """There is no such service account, or this is not its secret."""
