"""Transfers over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from libs.service_kit.auth import Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.preconditions import with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession
from services.budget.transfers import queries, service
from services.budget.transfers.errors import (
    AllocationTooLarge,
    DifferentFiscalYears,
    TransferExceedsAvailable,
    TransferNotFound,
    UnknownTransferAllocation,
)
from services.budget.transfers.models import Transfer
from services.budget.transfers.schemas import TransferCreate, TransferOut

router = NounRouter(prefix="/api/v1/transfers", tags=["transfers"])
Reader = Annotated[Principal, Depends(requires("budget:read"))]
Writer = Annotated[Principal, Depends(requires("budget:write"))]


@router.post(
    "",
    status_code=201,
    response_model=TransferOut,
    responses=problems(UnknownTransferAllocation, DifferentFiscalYears, TransferExceedsAvailable, AllocationTooLarge),
)
async def make_transfer(wanted: TransferCreate, actor: Writer, session: DatabaseSession, once: CreateOnce) -> Response:
    """Move money that is not committed to another allocation of the same fiscal year."""
    made = await service.transfer(session, actor, wanted)
    return await once.created(TransferOut.of(made), location=f"/api/v1/transfers/{made.id}", version=made.version)


@router.get("", responses=problems(BadCursor))
async def list_transfers(
    actor: Reader, session: DatabaseSession, window: PageWindow, allocation_id: UUID | None = None
) -> Page[TransferOut]:
    """All transfers, or those from and to one allocation, the newest first."""
    query = queries.transfers(actor.tenant_id, allocation_id=allocation_id)
    return await page(session, query, Transfer, window, TransferOut.model_validate)


@router.get("/{transfer_id}", response_model=TransferOut, responses=problems(TransferNotFound))
async def get_transfer(transfer_id: UUID, actor: Reader, session: DatabaseSession, response: Response) -> Transfer:
    """One transfer."""
    return with_etag(response, await service.get(session, actor, transfer_id))
