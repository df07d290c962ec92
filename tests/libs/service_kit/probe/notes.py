"""Notes: a thing that a tenant owns, with every kind of rule that the kit carries."""

from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from sqlalchemy import CheckConstraint, UniqueConstraint, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.contracts.budget import AccountOpened
from libs.service_kit.auth import Principal, requires
from libs.service_kit.entities import COLUMN_TYPES, Entity, new_metadata
from libs.service_kit.errors import Conflict, Conflicts, NotFound, found, problems
from libs.service_kit.events.outbox import publish
from libs.service_kit.fields import Code, Input, Money, Name, Output
from libs.service_kit.idempotency import CreateOnce, OnceRoute
from libs.service_kit.pages import Page, PageWindow, page
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.transactions import DatabaseSession


class Base(DeclarativeBase):
    """The tables of the probe."""

    metadata = new_metadata()
    type_annotation_map = COLUMN_TYPES


class Note(Entity, Base, is_listed=False):
    """A note about an amount. Its code is checked at the commit, and `unwanted` by no named refusal."""

    __tablename__ = "notes"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code", deferrable=True, initially="DEFERRED"),
        CheckConstraint("code <> 'unwanted'", name="code"),
    )
    code: Mapped[str]
    text: Mapped[str]
    amount: Mapped[Decimal] = mapped_column()


class NoteCodeTaken(Conflict):
    detail = "There is a note with this code."


class UnknownNote(NotFound):
    detail = "There is no such note."


class NoteCreate(Input):
    """A new note."""

    code: Code
    text: Name
    amount: Money = Decimal(0)


class NoteUpdate(Input):
    """A change of a note."""

    text: Name


class NoteOut(Output):
    """A note."""

    id: UUID
    code: str
    text: str
    amount: Money
    version: int


CONFLICTS: Conflicts = {"uq_notes_tenant_id_code": NoteCodeTaken}
Writer = Annotated[Principal, Depends(requires("budget:write"))]
router = APIRouter(prefix="/api/v1/notes", route_class=OnceRoute)


async def _find(session: DatabaseSession, note_id: UUID) -> Note:
    return found(await session.get(Note, note_id), UnknownNote, note_id)


@router.post("", status_code=201, response_model=NoteOut, responses=problems(NoteCodeTaken))
async def create_note(wanted: NoteCreate, session: DatabaseSession, caller: Writer, once: CreateOnce) -> Response:
    note = Note(tenant_id=caller.tenant_id, **wanted.model_dump())
    session.add(note)
    await session.flush()
    publish(session, AccountOpened(account_id=note.id, code=note.code, name=note.text))
    return await once.created(NoteOut.of(note), location=f"/api/v1/notes/{note.id}", version=note.version)


@router.get("")
async def list_notes(session: DatabaseSession, caller: Writer, window: PageWindow) -> Page[NoteOut]:
    return await page(session, select(Note), Note, window, NoteOut.model_validate)


@router.get("/{note_id}", response_model=NoteOut)
async def read_note(note_id: UUID, session: DatabaseSession, caller: Writer, response: Response) -> Note:
    return with_etag(response, await _find(session, note_id))


@router.patch("/{note_id}", response_model=NoteOut)
async def change_note(
    note_id: UUID, wanted: NoteUpdate, session: DatabaseSession, caller: Writer, expected: IfMatch, response: Response
) -> Note:
    note = await _find(session, note_id)
    expected.check(note)
    note.text = wanted.text
    await session.flush()
    return with_etag(response, note)


@router.post("/broken")
async def break_down(caller: Writer) -> None:
    raise RuntimeError("a detail of the inside")
