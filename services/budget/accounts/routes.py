"""Accounts over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from libs.service_kit.auth import Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.budget.accounts import queries, service
from services.budget.accounts.errors import AccountCodeTaken, AccountNotFound
from services.budget.accounts.models import Account
from services.budget.accounts.schemas import AccountCreate, AccountOut, AccountUpdate

router = NounRouter(prefix="/api/v1/accounts", tags=["accounts"])
Reader = Annotated[Principal, Depends(requires("budget:read"))]
Writer = Annotated[Principal, Depends(requires("budget:write"))]


@router.post("", status_code=201, response_model=AccountOut, responses=problems(AccountCodeTaken))
async def open_account(wanted: AccountCreate, actor: Writer, session: DatabaseSession, once: CreateOnce) -> Response:
    """Open an account."""
    account = await service.open_account(session, actor, wanted)
    location = f"/api/v1/accounts/{account.id}"
    return await once.created(AccountOut.of(account), location=location, version=account.version)


@router.get("", responses=problems(BadCursor))
async def list_accounts(actor: Reader, session: DatabaseSession, window: PageWindow) -> Page[AccountOut]:
    """All accounts, the newest first."""
    return await page(session, queries.accounts(actor.tenant_id), Account, window, AccountOut.model_validate)


@router.get("/{account_id}", response_model=AccountOut, responses=problems(AccountNotFound))
async def get_account(account_id: UUID, actor: Reader, session: DatabaseSession, response: Response) -> Account:
    """One account."""
    return with_etag(response, await service.get(session, actor, account_id))


@router.patch(
    "/{account_id}",
    response_model=AccountOut,
    responses=problems(AccountNotFound),
)
async def rename_account(
    account_id: UUID,
    wanted: AccountUpdate,
    actor: Writer,
    session: DatabaseSession,
    expected: IfMatch,
    response: Response,
) -> Account:
    """Rename an account."""
    return with_etag(response, await service.rename(session, actor, account_id, expected, wanted))
