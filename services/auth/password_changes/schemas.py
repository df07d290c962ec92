"""Password changes in requests and answers."""

from datetime import datetime
from uuid import UUID

from libs.service_kit.fields import Input, Output
from services.auth.fields import GivenPassword, GivenSecret, NewPassword


class PasswordChange(Input):
    """One's own password: the current one and the next."""

    current_password: GivenPassword
    new_password: NewPassword


class ResetCreate(Input):
    """Whose password is to be set anew."""

    user_id: UUID


class ResetOut(Output):
    """The token for the user, which works once; it is shown here and nowhere else."""

    user_id: UUID
    token: str
    expires_at: datetime


class ResetUse(Input):
    """The token, and the password that the user has chosen."""

    token: GivenSecret
    new_password: NewPassword
