"""The rules of accounts: opening and renaming them."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.contracts.budget import AccountOpened, AccountRenamed
from libs.service_kit.auth import Principal
from libs.service_kit.errors import found
from libs.service_kit.events.outbox import publish
from libs.service_kit.preconditions import Expected
from services.budget.accounts import queries
from services.budget.accounts.errors import AccountNotFound
from services.budget.accounts.models import Account
from services.budget.accounts.schemas import AccountCreate, AccountUpdate


async def get(session: AsyncSession, actor: Principal, account_id: UUID) -> Account:
    """The account with this id. Raises `AccountNotFound`."""
    account = await session.scalar(queries.accounts(actor.tenant_id).where(Account.id == account_id))
    return found(account, AccountNotFound, account_id)


async def open_account(session: AsyncSession, actor: Principal, wanted: AccountCreate) -> Account:
    """Open an account."""
    account = Account(tenant_id=actor.tenant_id, code=wanted.code, name=wanted.name)
    session.add(account)
    await session.flush()
    publish(session, AccountOpened(account_id=account.id, code=account.code, name=account.name))
    return account


async def rename(
    session: AsyncSession, actor: Principal, account_id: UUID, expected: Expected, wanted: AccountUpdate
) -> Account:
    """Rename an account."""
    account = await get(session, actor, account_id)
    expected.check(account)
    if account.name != wanted.name:
        account.name = wanted.name
        await session.flush()
        publish(session, AccountRenamed(account_id=account.id, name=account.name))
    return account
