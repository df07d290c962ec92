"""Notes that belong to tenants, created as in every service of this repository: with everything that the kit provides."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped

from libs.contracts.budget import AccountOpened
from libs.service_kit.auth import Principal, requires
from libs.service_kit.entities import COLUMN_TYPES, Entity, new_metadata
from libs.service_kit.errors import Conflict, problems
from libs.service_kit.events.outbox import publish
from libs.service_kit.fields import Code, Input, Money, Name, Output
from libs.service_kit.idempotency import CreateOnce, OnceRoute
from libs.service_kit.transactions import DatabaseSession


class Base(DeclarativeBase):
    """The tables of the measured service."""

    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


class Note(Entity, Base, is_listed=False):
    """A note about an amount."""

    __tablename__ = "notes"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)
    code: Mapped[str]
    text: Mapped[str]
    amount: Mapped[Decimal]


class NoteCodeTaken(Conflict):
    """The code of a note is unique."""

    detail = "There is a note with this code."


class NoteCreate(Input):
    """A new note."""

    code: Code
    text: Name
    amount: Money = Decimal(0)


class NoteOut(Output):
    """A note."""

    id: UUID
    code: str
    text: str
    amount: Money
    version: int


router = APIRouter(prefix="/api/v1/notes", route_class=OnceRoute)


@router.post("", status_code=201, response_model=NoteOut, responses=problems(NoteCodeTaken))
async def create_note(
    wanted: NoteCreate,
    session: DatabaseSession,
    caller: Annotated[Principal, Depends(requires("budget:write"))],
    once: CreateOnce,
) -> Response:
    """Add a note and publish an event."""
    note = Note(tenant_id=caller.tenant_id, **wanted.model_dump())
    session.add(note)
    await session.flush()
    publish(session, AccountOpened(account_id=note.id, code=note.code, name=note.text))
    return await once.created(NoteOut.of(note), location=f"/api/v1/notes/{note.id}", version=note.version)
