"""Alembic's entry: the metadata of this service, with the tables of every noun."""

from libs.service_kit.migrations import run_env
from services.auth.database import Base
from services.auth.directory import models as directory
from services.auth.guesses import models as guesses
from services.auth.keys import models as keys
from services.auth.password_changes import models as password_changes
from services.auth.service_accounts import models as service_accounts
from services.auth.sessions import models as sessions
from services.auth.users import models as users  # and the roles with them

assert (
    directory and guesses and keys and password_changes and service_accounts and sessions and users
)  # imported for the tables that they add
run_env(Base.metadata)
