"""What whoever wants in can be refused."""

from libs.service_kit.errors import Forbidden, Unauthorized


class InvalidCredentials(Unauthorized):
    """No active user of such a tenant has this e-mail and this password. Which of it is wrong is not said."""


class TenantNotActive(Forbidden):
    """The password is right, but the tenant is not active: not yet, or no longer."""


class InvalidRefreshToken(Unauthorized):
    """The refresh token is unknown, over, or was used before; log in again."""
